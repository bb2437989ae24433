"""langchain-openai against Turnlog: chat | stream | again. URL, KEY, MODEL, PROMPT and AGAIN are in the environment."""

import os
import sys

import openai
from langchain_openai import ChatOpenAI


def model(**more):
    return ChatOpenAI(
        model=os.environ["MODEL"], base_url=os.environ["URL"], api_key=os.environ["KEY"], max_retries=0, **more
    )


match sys.argv[1]:
    case "chat":
        print(model().invoke(os.environ["PROMPT"]).content)
    case "stream":
        for chunk in model().stream(os.environ["PROMPT"]):
            print(chunk.content, end="", flush=True)
    case "again":
        headers = {"idempotency-key": os.environ["AGAIN"]}
        try:
            model(default_headers=headers, timeout=0.5).invoke(os.environ["PROMPT"])
        except openai.APITimeoutError:
            print("timed out")
        print(model(default_headers=headers, timeout=30).invoke(os.environ["PROMPT"]).content)
