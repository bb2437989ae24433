"""litellm against Turnlog: chat | stream | again. URL, KEY, MODEL, PROMPT and AGAIN are in the environment."""

import os
import sys

import litellm

litellm.suppress_debug_info = True
ASKED = {
    "model": f"openai/{os.environ['MODEL']}",
    "api_base": os.environ["URL"],
    "api_key": os.environ["KEY"],
    "messages": [{"role": "user", "content": os.environ["PROMPT"]}],
    "max_retries": 0,
}

match sys.argv[1]:
    case "chat":
        answer = litellm.completion(**ASKED)
        print(answer.choices[0].message.content)
    case "stream":
        for chunk in litellm.completion(**ASKED, stream=True):
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    case "again":
        headers = {"idempotency-key": os.environ["AGAIN"]}
        try:
            litellm.completion(**ASKED, extra_headers=headers, timeout=0.5)
        except litellm.Timeout:
            print("timed out")
        print(litellm.completion(**ASKED, extra_headers=headers, timeout=30).choices[0].message.content)
