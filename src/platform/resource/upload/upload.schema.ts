import { z } from 'zod';

export const bulkQuery = z.strictObject({
  atomic: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true')
    .meta({ description: 'With `true`, nothing is stored if any line is invalid.' }),
});
export type BulkQuery = z.infer<typeof bulkQuery>;

export const bulkReportSchema = z
  .object({
    inserted: z
      .int()
      .min(0)
      .meta({ description: 'Records that were stored.', examples: [2] }),
    failed: z
      .int()
      .min(0)
      .meta({ description: 'Lines that were not stored.', examples: [1] }),
    errors: z
      .array(
        z.object({
          line: z.int().min(1).meta({ description: 'Line number in the NDJSON, or position in the array, from 1.' }),
          // A pointer may contain a NUL, which no stricter pattern in the document allows.
          pointer: z.string().meta({ description: 'JSON Pointer into the line.', pattern: '^', examples: ['/data'] }),
          detail: z.string().meta({ examples: ['must be an object'] }),
        }),
      )
      .meta({ description: 'What is wrong with these lines: the first 1,000 mistakes.' }),
  })
  .meta({ id: 'BulkReport' });
export type BulkReport = z.infer<typeof bulkReportSchema>;
