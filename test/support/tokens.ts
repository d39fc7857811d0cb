import { createHmac, createPrivateKey, type KeyObject, sign } from 'node:crypto';

type Members = Record<string, unknown>;
/** Signs the header and the payload. */
export type Signer = (text: string) => Buffer;

export const signedBy = (key: KeyObject | string): Signer => {
  const signer = typeof key === 'string' ? createPrivateKey(key) : key;
  const isEdwards = signer.asymmetricKeyType === 'ed25519';
  return (text) => sign(isEdwards ? null : 'sha256', Buffer.from(text), { key: signer, dsaEncoding: 'ieee-p1363' });
};
/** Signs with HS256 and this shared secret. */
export const sharedSecret =
  (secret: string | Buffer): Signer =>
  (text) =>
    createHmac('sha256', secret).update(text).digest();

const encode = (members: Members) => Buffer.from(JSON.stringify(members)).toString('base64url');
const decode = (part = ''): Members => JSON.parse(Buffer.from(part, 'base64url').toString());

/** Makes tokens like a real one with the given members changed; undefined removes one. Without a library, which would refuse. */
export function forger(real: string, usual: Signer) {
  const [header, payload] = real.split('.').slice(0, 2).map(decode);
  return (payloadChange: Members = {}, headerChange: Members = {}, signer = usual): string => {
    const text = `${encode({ ...header, ...headerChange })}.${encode({ ...payload, ...payloadChange })}`;
    return `${text}.${signer(text).toString('base64url')}`;
  };
}
