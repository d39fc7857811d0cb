import { z } from 'zod';
import { mergePatchOf } from './definition.js';

it('describes the members of a patch by their components, without defaults', () => {
  const line = z.strictObject({ article: z.string() }).meta({ id: 'PatchedLine' });
  const input = z.strictObject({ lines: z.array(line), status: z.enum(['open']).default('open') });
  const { $defs } = z.toJSONSchema(mergePatchOf(input, 'LinesPatch'));
  expect($defs?.LinesPatch?.properties).toEqual({
    lines: {
      anyOf: [{ type: 'array', items: { $ref: '#/components/schemas/PatchedLine' } }, { type: 'null' }],
    },
    status: { anyOf: [{ type: 'string', enum: ['open'] }, { type: 'null' }] },
  });
});
