# One image with the broker, the operator and the command line: `docker build -t fjord .`
#
# The images that it is made of are arguments, for whoever has others.
ARG BUILDER=docker.io/library/rust:1.95-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS build
# Where the sources, Cargo's downloads and what it compiles are. Cargo compiles anew what has moved.
ARG SOURCES=/src
ARG DOWNLOADS=/cache/cargo
ARG TARGET=/cache/target
WORKDIR ${SOURCES}
COPY . .
# The cache is not part of the image: a second build compiles only what has changed.
RUN --mount=type=cache,target=/cache \
    set -e; \
    export CARGO_HOME="$DOWNLOADS" CARGO_TARGET_DIR="$TARGET"; \
    for package in fjord-broker fjord-operator fjord-cli; do cargo build --release --locked -p "$package"; done; \
    mkdir -p /image/usr/bin /image/usr/share/doc/fjord; \
    for binary in fjord-broker fjord-operator fjord; do strip -o "/image/usr/bin/$binary" "$TARGET/release/$binary"; done; \
    cp LICENSE NOTICE /image/usr/share/doc/fjord/; \
    install -d -o 65532 -g 65532 /image/var/lib/fjord

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Fjord" \
      org.opencontainers.image.description="A Kubernetes-native message broker that speaks Kafka's protocol" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/fjord-dev/fjord" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image /
WORKDIR /var/lib/fjord
USER 65532:65532
EXPOSE 9092
ENTRYPOINT ["/usr/bin/fjord-broker"]
