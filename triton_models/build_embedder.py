"""Builds the embedder (all-MiniLM-L6-v2) as one ONNX graph from its safetensors file, without torch.

The graph is the whole sentence encoder: BERT (6 layers, 384 wide), mean pooling over the attention mask, L2
normalisation. Inputs: input_ids, attention_mask (int64 [batch, sequence]). Output: embedding (float [batch, 384]).
token_type_ids are always 0 for this model, so the one row that is used is folded into the position table.

    python build_embedder.py --source FOLDER --out FOLDER      reads model.safetensors, config.json, tokenizer.json
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 20  # Gelu is a standard operator from opset 20, LayerNormalization from 17
IR_VERSION = 10
Weights = dict[str, NDArray[Any]]


class Graph:
    """Collects nodes and weights; every call returns the name of the tensor it makes."""

    def __init__(self, weights: Weights, config: dict[str, Any]) -> None:
        self.given, self.config = weights, config
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, out: str = "", domain: str = "", **attributes: Any) -> str:
        number = len(self.nodes) + 1
        out = out or f"{kind.lower()}_{number}"
        node = helper.make_node(kind, list(inputs), [out], name=f"{kind}_{number}", domain=domain, **attributes)
        self.nodes.append(node)
        return out

    def linear(self, x: str, name: str, matrix: NDArray[Any], bias: NDArray[Any]) -> str:
        product = self.op("MatMul", x, self.weight(f"{name}.weight", matrix.T))
        return self.op("Add", product, self.weight(f"{name}.bias", bias))

    def dense(self, x: str, name: str) -> str:
        return self.linear(x, name, self.given[f"{name}.weight"], self.given[f"{name}.bias"])

    def layer_norm(self, x: str, name: str) -> str:
        scale = self.weight(f"{name}.weight", self.given[f"{name}.weight"])
        shift = self.weight(f"{name}.bias", self.given[f"{name}.bias"])
        epsilon = self.config["layer_norm_eps"]
        return self.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def embeddings(g: Graph) -> str:
    """Words plus positions 0..S-1, with token type 0 folded in."""
    words = g.op("Gather", g.weight("word_embeddings", g.given["embeddings.word_embeddings.weight"]), "input_ids")
    types = g.given["embeddings.token_type_embeddings.weight"][0]
    table = (g.given["embeddings.position_embeddings.weight"] + types).astype(np.float32)
    length = g.op("Shape", "input_ids", start=1, end=2)
    zero = g.weight("zero", np.array([0], np.int64))
    positions = g.op("Slice", g.weight("position_embeddings", table), zero, length, zero)
    return g.layer_norm(g.op("Add", words, positions), "embeddings.LayerNorm")


def layer(g: Graph, x: str, mask: str, number: int) -> str:
    """One transformer layer; attention is a single ONNX Runtime kernel."""
    p = f"encoder.layer.{number}"
    three = ("query", "key", "value")
    matrix = np.concatenate([g.given[f"{p}.attention.self.{n}.weight"] for n in three])
    bias = np.concatenate([g.given[f"{p}.attention.self.{n}.bias"] for n in three])
    context = g.op(
        "Attention",
        x,
        g.weight(f"{p}.qkv.weight", matrix.T),
        g.weight(f"{p}.qkv.bias", bias),
        mask,
        domain="com.microsoft",
        num_heads=g.config["num_attention_heads"],
    )
    y = g.dense(context, f"{p}.attention.output.dense")
    x = g.layer_norm(g.op("Add", y, x), f"{p}.attention.output.LayerNorm")
    y = g.op("Gelu", g.dense(x, f"{p}.intermediate.dense"), approximate="none")
    y = g.dense(y, f"{p}.output.dense")
    return g.layer_norm(g.op("Add", y, x), f"{p}.output.LayerNorm")


def pooled(g: Graph, x: str) -> None:
    """Mean over real tokens, then unit length."""
    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    one = g.weight("one", np.array([1], np.int64))
    column = g.op("Unsqueeze", mask, g.weight("axis2", np.array([2], np.int64)))
    total = g.op("ReduceSum", g.op("Mul", x, column), one, keepdims=0)
    count = g.op("Max", g.op("ReduceSum", column, one, keepdims=0), g.weight("tiny", np.array(1e-9, np.float32)))
    mean = g.op("Div", total, count)
    norm = g.op("Max", g.op("ReduceL2", mean, one, keepdims=1), g.weight("floor", np.array(1e-12, np.float32)))
    g.op("Div", mean, norm, out="embedding")


def build(weights: Weights, config: dict[str, Any]) -> onnx.ModelProto:
    """The checked model."""
    g = Graph(weights, config)
    x = embeddings(g)
    mask = g.op("Cast", "attention_mask", to=TensorProto.INT32)
    for number in range(config["num_hidden_layers"]):
        x = layer(g, x, mask, number)
    pooled(g, x)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", config["hidden_size"]])
    graph = helper.make_graph(g.nodes, "all_minilm_l6_v2", inputs, [output], g.weights)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="build_embedder")
    onnx.checker.check_model(model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    config = json.loads((args.source / "config.json").read_text())
    onnx.save(build(load_file(args.source / "model.safetensors"), config), args.out / "minilm.fp32.onnx")
    shutil.copyfile(args.source / "tokenizer.json", args.out / "tokenizer.json")


if __name__ == "__main__":
    main()
