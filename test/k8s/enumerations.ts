import type { Manifest } from './objects.js';

/** A class of kubernetes-models. */
interface Model {
  prototype: { validate(): void };
}

/** Checks enumerations of Kubernetes' own kinds, which its published schemas lack, but those of kubernetes-models have. */
export async function enumerationComplaints(object: Manifest): Promise<string[]> {
  const model: Model = (await import(`kubernetes-models/${object.apiVersion}/${object.kind}`))[object.kind];
  try {
    model.prototype.validate.call(object as unknown as Model['prototype']);
    return [];
  } catch (error) {
    return (error as Error).message.split(', ').map((line) => `${object.kind}/${object.metadata.name}: ${line}`);
  }
}
