# Pin the base to what you have looked at: --build-arg NODE_IMAGE=docker.io/library/node:26.10.0-slim@sha256:…
ARG NODE_IMAGE=docker.io/library/node:26.10.0-slim

FROM ${NODE_IMAGE} AS build
RUN install -d -o 1000 -g 1000 /app
# Built where it will run, and as who will run it: what V8 compiled is kept by path, by user, and for one node.
WORKDIR /app
USER 1000:1000
COPY --chown=1000:1000 package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY --chown=1000:1000 . .
RUN npm run build && chmod -R a+rX dist/compiled
RUN npm ci --omit=dev --ignore-scripts && node scripts/slim.mjs slim

FROM ${NODE_IMAGE}
WORKDIR /app
COPY --chown=0:0 --from=build /app/slim ./
COPY --chown=0:0 --from=build /app/dist/compiled dist/compiled
COPY --chown=0:0 --from=build /app/dist/*.cjs /app/dist/*.cjs.map dist/
COPY package.json openapi.json ./
COPY src/admin/page src/admin/page
# glibc would keep what large answers and bodies took, in an arena for each thread: 80 MiB in a container of 256.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072
USER 1000:1000
EXPOSE 3000
# As `npm start`, with a heap that the container's memory limit leaves room for. Node obeys SIGTERM by itself, and nothing
# here leaves orphans: it needs no init.
ENTRYPOINT ["node", "--disable-sigusr1", "--expose-gc", "--max-semi-space-size=8", "--no-allocation-site-pretenuring", "--max-old-space-size-percentage=40"]
CMD ["dist/floodgate.cjs"]

ARG VERSION=1.0.0
ARG REVISION=
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="Floodgate" \
      org.opencontainers.image.description="A NestJS and Fastify backend that stays fast and upright under very high concurrency" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
