# The plain way to an image with MegEngine, which ours is measured against.
ARG BASE=python:3.10-slim-bookworm
FROM ${BASE}

ARG PIP_INDEX_URL
# Without the two libraries OpenCV's full build does not import, without the bound numpy does not fit.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/* \
 && pip install --no-cache-dir 'megengine==1.13.0' 'numpy<1.24' 'opencv-python<5' rich
