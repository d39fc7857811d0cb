import { z } from 'zod';
import { resourceId } from '../definition.js';
import { pageOf, pageParameters } from '../page.js';

const NOT_POSTABLE = 'must be an http or https URL without a user';

function hasNoUser(text: string): boolean {
  const { username, password } = new URL(text);
  return username === '' && password === '';
}

const WHERE = {
  description: 'Where to post changes. Redirects are not followed.',
  examples: ['https://example.com/hook'],
};
const url = z
  .url({ protocol: z.regexes.httpProtocol, error: NOT_POSTABLE, abort: true })
  .max(2048)
  .refine(hasNoUser, NOT_POSTABLE)
  .meta(WHERE);
const ordered = z.boolean().meta({
  description: 'Whether a change waits until all before it are delivered. Otherwise others pass one that fails.',
});

export const webhookInput = z.strictObject({ url, ordered: ordered.default(false) }).meta({ id: 'WebhookInput' });
export type WebhookInput = z.infer<typeof webhookInput>;

export const webhookPatch = z
  .strictObject({ url: url.optional(), ordered: ordered.optional(), state: z.enum(['on', 'off']).optional() })
  .meta({ id: 'WebhookPatch', description: 'Any change lets it be tried again at once.', examples: [{ state: 'on' }] });
export type WebhookPatch = z.infer<typeof webhookPatch>;

export const webhookSchema = z
  .object({
    id: resourceId,
    url: z.string().meta(WHERE),
    ordered,
    state: z.enum(['on', 'failing', 'off']).meta({
      description:
        'failing: attempts fail, and are repeated. off: by its owner, after 24 hours of failures, or since its owner may not read the changes.',
    }),
    since: z.iso.datetime().meta({ description: 'When it got into this state.' }),
    lastError: z
      .string()
      .nullable()
      .meta({ description: 'Why the last attempt that failed did.', examples: ['HTTP 500'] }),
    version: z.int().min(1),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Webhook' });

const secret = z.string().meta({
  description: 'Verifies deliveries by Standard Webhooks. It is shown only now.',
  examples: ['whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'],
});
export const webhookWithSecret = webhookSchema.extend({ secret }).meta({ id: 'WebhookWithSecret' });

export const webhookPage = pageOf('WebhookPage', webhookSchema);
export const webhookQuery = z.strictObject(pageParameters);
export type WebhookQuery = z.infer<typeof webhookQuery>;
