# One image for both functions: the API's handler is its command, the worker's is in template.yaml.

FROM public.ecr.aws/lambda/python:3.13 AS models
ARG MODEL_SET=compact
WORKDIR /build
# A set that `make models` has built already comes along in models/build; build.py checks its
# digests and makes what is missing.
COPY models/ models/
RUN python3 models/build.py --set ${MODEL_SET} && rm -rf ~/.cache && chmod -R a+rX models/build

FROM public.ecr.aws/lambda/python:3.13 AS dependencies
COPY requirements-image.txt image/prune.py ./
# Compiled here because a function's own files are read-only, and unchecked because the file times
# that a check would compare are not the same in every copy.
RUN python3 -m pip install --no-cache-dir --no-compile --no-deps --only-binary :all: \
        --require-hashes --target /packages --requirement requirements-image.txt \
    && python3 prune.py /packages \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /packages \
    && chmod -R a+rX /packages

FROM public.ecr.aws/lambda/python:3.13 AS code
COPY function/ /code/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /code && chmod -R a+rX /code

# No USER: Lambda runs every image as a user of its own and ignores the image's.
FROM public.ecr.aws/lambda/python:3.13
ARG MODEL_SET=compact
ENV MODEL_SET=${MODEL_SET} \
    MODELS_DIR=/opt/models \
    ORT_DISABLE_TELEMETRY=1
COPY --from=models /build/models/build/${MODEL_SET}/ ${MODELS_DIR}/${MODEL_SET}/
COPY --from=dependencies /packages/ ${LAMBDA_TASK_ROOT}/
COPY --from=code /code/ ${LAMBDA_TASK_ROOT}/
CMD ["tryon_masks.entrypoints.api.handler"]
