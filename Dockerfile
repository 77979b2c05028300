ARG BASE=python:3.10-slim-bookworm
# cut: MegEngine's library without its CUDA device code, four fifths of it, which a processor has no
# use for. keep: the library as its wheel has it.
ARG CUDA=cut


# What is installed, compiled to bytecode that depends on nothing but its source: no times in it,
# and nothing to check at start. Without it MegEngine takes three times as long to load.
FROM ${BASE} AS packages

# An index other than pip's own, where the build cannot reach that.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0

# setuptools goes first because one package comes as source alone: in a build environment of its
# own, pip would fetch a setuptools that the lock does not name. What goes again is never read: the
# packages' tests, OpenCV's face detectors, and of AWS, which MegEngine knows by way of megfile, all
# services but S3 and those to log in. Every file has the same time, so that builds are the same.
COPY requirements/run.txt /requirements.txt
RUN python -m venv --without-pip /opt/venv \
 && sed -n '/^setuptools==/,/[^\\]$/p' /requirements.txt > /setuptools.txt \
 && for list in /setuptools.txt /requirements.txt; do \
      pip --python /opt/venv/bin/python install \
        --require-hashes --no-deps --no-build-isolation --no-compile -r "$list" || exit 1; \
    done \
 && site=$(echo /opt/venv/lib/python3.*/site-packages) \
 && find "$site" -type d -name tests -prune -exec rm -r {} + \
 && find "$site/botocore/data" -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name signin ! -name 'sso*' ! -name sts -exec rm -r {} + \
 && rm "$site"/cv2/data/haarcascade_*.xml \
 && python -W ignore -m compileall -q -f --invalidation-mode unchecked-hash /opt/venv/lib \
 && echo /opt/megdump-ci > "$site/megdump-ci.pth" \
 && find /opt/venv -exec touch -h -d @0 {} +

COPY image /image
RUN python -IB /image/licences.py /opt/venv/lib/python3.*/site-packages > /THIRD-PARTY-LICENSES

ARG CUDA
RUN case "$CUDA" in \
      cut) /image/cut_and_test.sh /opt/venv ;; \
      keep) ;; \
      *) echo "CUDA is '$CUDA': give cut or keep" >&2; exit 1 ;; \
    esac \
 && find /opt/venv -newermt @0 -exec touch -h -d @0 {} +


FROM ${BASE} AS application

COPY LICENSE entrypoint.py /opt/megdump-ci/
COPY --from=packages /THIRD-PARTY-LICENSES /opt/megdump-ci/
COPY megdump_ci /opt/megdump-ci/megdump_ci
RUN PYTHONHASHSEED=0 python -m compileall -q -f --invalidation-mode unchecked-hash /opt/megdump-ci \
 && printf '%s\n' '#!/opt/venv/bin/python -IB' \
      'import runpy' 'runpy.run_module("megdump_ci", run_name="__main__", alter_sys=True)' \
      > /opt/megdump-ci/megdump-ci \
 && chmod 755 /opt/megdump-ci/megdump-ci \
 && find /opt/megdump-ci -exec touch -h -d @0 {} +


FROM ${BASE} AS runtime

# The official image leaves out the bytecode of the standard library, and has a pip that nothing here
# ever runs.
RUN start=$(date +%s) \
 && lib=$(python -c 'import os; print(os.path.dirname(os.__file__))') \
 && rm -r "$lib"/ensurepip "$lib"/site-packages/pip* /usr/local/bin/pip* \
 && rm -rf "$lib"/site-packages/setuptools* "$lib"/site-packages/pkg_resources \
      "$lib"/site-packages/_distutils_hack "$lib"/site-packages/distutils-precedence.pth \
      "$lib"/site-packages/wheel* /usr/local/bin/wheel \
 && PYTHONHASHSEED=0 python -m compileall -q -f --invalidation-mode unchecked-hash \
      -x 'site-packages|/(test|tests|idlelib|lib2to3|turtledemo)/' "$lib" \
 && find "$lib" /usr/local/bin -newermt "@$start" -exec touch -h -d @0 {} +

COPY --from=packages /opt/venv /opt/venv

# Where the NVIDIA runtime would show a GPU to every container: this library could do nothing on it.
FROM runtime AS cut
ENV NVIDIA_VISIBLE_DEVICES=void

FROM runtime AS keep
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility


# hadolint ignore=DL3006
FROM ${CUDA}

COPY --from=application /opt/megdump-ci /opt/megdump-ci

ARG BASE
ARG CUDA
LABEL org.opencontainers.image.title="megdump-ci" \
      org.opencontainers.image.description="Pack a MegEngine model with testcases and verify the packed file" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/${BASE}" \
      megdump-ci.cuda="${CUDA}"

ENV PATH=/opt/megdump-ci:/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# The action runs in a folder that others fill, as root (the workspace belongs to whom it belongs):
# isolated mode keeps modules there, in HOME and in PYTHON... variables out. It ignores the two
# variables above as well, hence -B and -u. Of a crash, the log says where it was.
ENTRYPOINT ["/opt/venv/bin/python", "-I", "-B", "-u", "-X", "utf8", "-X", "faulthandler", "/opt/megdump-ci/entrypoint.py"]
