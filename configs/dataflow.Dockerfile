# A Dataflow worker: Beam's own image, Photoveil, and the models, so that no worker downloads any.
# How it is built and given to Dataflow: docs/dataflow.md.
#
# BEAM and Python must be those of the machine that starts the run.
ARG BEAM
FROM apache/beam_python3.11_sdk:${BEAM}

# "gcp" for a worker without an accelerator, "gcp,gpu" for one with NVIDIA's libraries.
ARG EXTRAS=gcp
ARG BEAM
COPY . /opt/photoveil
RUN pip install --no-cache-dir "/opt/photoveil[${EXTRAS}]" "apache-beam==${BEAM}" && pip check

ENV PHOTOVEIL_CACHE=/opt/models
RUN photoveil assets && chmod -R a+rX "${PHOTOVEIL_CACHE}"
