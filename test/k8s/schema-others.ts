import { PersistentVolumeClaimSpec } from 'kubernetes-models/v1/PersistentVolumeClaimSpec';
import { PodTemplateSpec } from 'kubernetes-models/v1/PodTemplateSpec';
import { z } from 'zod';
import { complaintsBy, type Model } from './schema-model.js';

/**
 * Kinds whose schema comes in no package: the fields that our manifests use, as the operators declare them (NGINX Gateway
 * Fabric 2.4, the Barman Cloud plugin 0.9, ECK 3.2). A field that is new to the manifests is looked up there, and added.
 */
const kind = <T extends z.ZodRawShape>(apiVersion: string, name: string, spec: T) => [
  `${apiVersion} ${name}`,
  z.strictObject({
    apiVersion: z.literal(apiVersion),
    kind: z.literal(name),
    metadata: z.strictObject({ name: z.string(), namespace: z.string() }),
    spec: z.strictObject(spec),
  }),
];

/** As that part of Kubernetes itself. */
const like = (model: Model) =>
  z.unknown().superRefine((value, context) => {
    for (const message of complaintsBy(model, value)) context.addIssue({ code: 'custom', message });
  });

const target = z.strictObject({
  group: z.literal('gateway.networking.k8s.io'),
  kind: z.enum(['Gateway', 'HTTPRoute', 'GRPCRoute']),
  name: z.string(),
});
const size = z.string().regex(/^\d{1,4}[kmg]?$/);
const count = z.int().positive();
const secretKey = z.strictObject({ name: z.string(), key: z.string() });
const secretName = z.strictObject({ secretName: z.string() });
const version = z.string().regex(/^\d+\.\d+\.\d+$/);

export const OTHER_KINDS: Record<string, z.ZodType> = Object.fromEntries([
  kind('gateway.nginx.org/v1alpha2', 'NginxProxy', {
    kubernetes: z.strictObject({
      deployment: z.strictObject({ replicas: count }),
      service: z.strictObject({ externalTrafficPolicy: z.enum(['Cluster', 'Local']) }),
    }),
  }),
  kind('gateway.nginx.org/v1alpha1', 'ClientSettingsPolicy', {
    targetRef: target,
    body: z.strictObject({ maxSize: size }),
  }),
  kind('gateway.nginx.org/v1alpha1', 'ProxySettingsPolicy', {
    targetRefs: z.array(target).min(1).max(16),
    buffering: z.strictObject({ disable: z.boolean() }),
  }),
  kind('gateway.nginx.org/v1alpha1', 'RateLimitPolicy', {
    targetRefs: z.array(target).min(1).max(16),
    rateLimit: z.strictObject({
      rejectCode: z.int().min(400).max(599),
      local: z.strictObject({
        rules: z.array(
          z.strictObject({
            key: z.string(),
            rate: z.string().regex(/^\d+r\/[sm]$/),
            burst: count,
            noDelay: z.boolean(),
            zoneSize: size,
          }),
        ),
      }),
    }),
  }),
  kind('barmancloud.cnpg.io/v1', 'ObjectStore', {
    retentionPolicy: z.string().regex(/^[1-9]\d*[dwm]$/),
    configuration: z.strictObject({
      destinationPath: z.string().min(1),
      s3Credentials: z.strictObject({ accessKeyId: secretKey, secretAccessKey: secretKey }),
      wal: z.strictObject({ compression: z.enum(['bzip2', 'gzip', 'lz4', 'snappy', 'xz', 'zstd']) }),
      data: z.strictObject({ compression: z.enum(['bzip2', 'gzip', 'snappy']) }),
    }),
  }),
  kind('elasticsearch.k8s.elastic.co/v1', 'Elasticsearch', {
    version,
    auth: z.strictObject({ fileRealm: z.array(secretName), roles: z.array(secretName) }),
    nodeSets: z.array(
      z.strictObject({
        name: z.string(),
        count,
        config: z.record(z.string(), z.unknown()),
        podTemplate: like(PodTemplateSpec),
        volumeClaimTemplates: z.array(
          z.strictObject({ metadata: z.strictObject({ name: z.string() }), spec: like(PersistentVolumeClaimSpec) }),
        ),
      }),
    ),
  }),
  kind('kibana.k8s.elastic.co/v1', 'Kibana', {
    version,
    count,
    elasticsearchRef: z.strictObject({ name: z.string() }),
  }),
]);
