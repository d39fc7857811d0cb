import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid, unavailable } from '../http/problem.js';
import type { Admission, Leave, Priority } from '../overload/admission.js';

export const tooMuch = () => unavailable('There is too much to do just now.');

/** Does the work when there is room for it, or calls `refuse`; neither when its caller goes before that. */
export function admit(
  admission: Admission,
  priority: Priority,
  request: IncomingMessage,
  response: ServerResponse,
  work: () => void,
  refuse: () => void,
): void {
  const enter = (start: (leave: Leave) => void, refused: () => void) => {
    const waiting = admission.enter(priority, start, refused);
    if (waiting) response.once('close', () => waiting.cancel());
  };
  enter((given) => {
    let leave = given;
    response.once('close', () => leave(!response.writableFinished));
    if (request.headers['content-type'] !== undefined) {
      request.outside = async (awaited) => {
        leave(false, false);
        const value = await awaited;
        return new Promise((resolve, reject) => {
          if (response.destroyed) return reject(invalid('The request was cut off.'));
          const goOn = (again: Leave) => {
            leave = again;
            resolve(value);
          };
          enter(goOn, () => reject(tooMuch()));
        });
      };
    }
    work();
  }, refuse);
}
