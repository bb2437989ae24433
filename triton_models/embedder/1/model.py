"""Sentence embeddings with ONNX Runtime, one text at a time: a vector never depends on what else is in flight."""

import ctypes
import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

MAX_TOKENS = 256  # what the model was trained with; tokenizer.json says 128 with fixed padding


class TritonPythonModel:
    """text [1] -> embedding [384], unit length."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        setting = {key: value["string_value"] for key, value in config["parameters"].items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(max_length=MAX_TOKENS)
        self.tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(setting["threads"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = str(folder / setting["model_file"])
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        ctypes.CDLL(None).malloc_trim(0)  # what reading the file took: 20 MB an instance, kept by malloc otherwise

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().reshape(-1)
        vectors = np.stack([self.embed(row.decode("utf-8", "replace")) for row in rows])
        return pb_utils.InferenceResponse([pb_utils.Tensor("embedding", vectors)])

    def embed(self, text):
        found = self.tokenizer.encode(text)
        feed = {
            "input_ids": np.array([found.ids], np.int64),
            "attention_mask": np.array([found.attention_mask], np.int64),
        }
        return self.session.run(["embedding"], feed)[0][0]
