#!/bin/sh
# Prints the secrets `floodgate`, `floodgate-db-serve` and `floodgate-first-admin` with new random values, for the PostgreSQL and the Redis of the
# overlays:
#   ADMIN_EMAIL=you@example.com k8s/secrets.sh | kubectl create -f -
# `create` refuses to replace them, so that no key is lost by a second run.
set -eu
postgres_password=$(openssl rand -hex 24)
redis_password=$(openssl rand -hex 24)
cat <<END
apiVersion: v1
kind: Secret
metadata:
  name: floodgate
  namespace: floodgate
stringData:
  APP_SECRET: $(openssl rand -hex 32)
  JWT_PRIVATE_KEY: |
$(openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | sed 's/^/    /')
  REDIS_PASSWORD: $redis_password
  REDIS_URL: redis://:$redis_password@redis:6379
  # Where components/postgres is used, these two are not.
  POSTGRES_PASSWORD: $postgres_password
  DATABASE_URL: postgres://floodgate:$postgres_password@postgres:5432/floodgate
---
# Where components/postgres is used: whom its operator lets in as the role that serves.
apiVersion: v1
kind: Secret
metadata:
  name: floodgate-db-serve
  namespace: floodgate
  labels:
    # A new password is passed on to PostgreSQL.
    cnpg.io/reload: "true"
type: kubernetes.io/basic-auth
stringData:
  username: floodgate_app
  password: $(openssl rand -hex 24)
---
# To be deleted once that admin has signed in and has another password.
apiVersion: v1
kind: Secret
metadata:
  name: floodgate-first-admin
  namespace: floodgate
stringData:
  ADMIN_EMAIL: ${ADMIN_EMAIL:?who is the first admin?}
  ADMIN_PASSWORD: $(openssl rand -hex 12)
END
