ARG BASE=python:3.10-slim-bookworm

# What is installed, compiled to bytecode that depends on nothing but its source: no times in it,
# and nothing to check at start. Without it MegEngine takes three times as long to load.
FROM ${BASE} AS build

# An index other than pip's own, where the build cannot reach that.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0

# setuptools goes first because one package comes as source alone: in a build environment of its
# own, pip would fetch a setuptools that the lock does not name.
COPY requirements/run.txt /requirements.txt
RUN python -m venv --without-pip /opt/venv \
 && sed -n '/^setuptools==/,/[^\\]$/p' /requirements.txt > /setuptools.txt \
 && for list in /setuptools.txt /requirements.txt; do \
      pip --python /opt/venv/bin/python install \
        --require-hashes --no-deps --no-build-isolation --no-compile -r "$list" || exit 1; \
    done \
 && python -W ignore -m compileall -q -f --invalidation-mode unchecked-hash /opt/venv/lib

COPY LICENSE entrypoint.py /opt/megdump-ci/
COPY megdump_ci /opt/megdump-ci/megdump_ci
RUN python -m compileall -q -f --invalidation-mode unchecked-hash /opt/megdump-ci \
 && echo /opt/megdump-ci > "$(echo /opt/venv/lib/python3.*/site-packages)/megdump-ci.pth" \
 && printf '%s\n' '#!/opt/venv/bin/python -IB' \
      'import runpy' 'runpy.run_module("megdump_ci", run_name="__main__", alter_sys=True)' \
      > /opt/megdump-ci/megdump-ci \
 && chmod 755 /opt/megdump-ci/megdump-ci


FROM ${BASE}

# The official image leaves out the bytecode of the standard library.
RUN PYTHONHASHSEED=0 python -m compileall -q -f --invalidation-mode unchecked-hash \
      -x 'site-packages|/(test|tests|idlelib|lib2to3|turtledemo)/' \
      "$(python -c 'import os; print(os.path.dirname(os.__file__))')"

COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/megdump-ci /opt/megdump-ci

ARG BASE
LABEL org.opencontainers.image.title="megdump-ci" \
      org.opencontainers.image.description="Pack a MegEngine model with testcases and verify the packed file" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/${BASE}"

ENV PATH=/opt/megdump-ci:/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# The action runs in a folder that others fill, as root (the workspace belongs to whom it belongs):
# isolated mode keeps modules there, in HOME and in PYTHON... variables out. It ignores the two
# variables above as well, hence -B and -u.
ENTRYPOINT ["/opt/venv/bin/python", "-I", "-B", "-u", "-X", "utf8", "/opt/megdump-ci/entrypoint.py"]
