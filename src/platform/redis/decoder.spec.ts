import decoder from '@redis/client/dist/lib/client/RESP2/decoder.js';
import './decoder.js';

/** An MGET's reply, and what comes first on the next connection. */
const REPLY = '*2\r\n$5\r\nfirst\r\n$6\r\nsecond\r\n';
const NEXT = ':1\r\n$4\r\nnext\r\n*1\r\n$1\r\na\r\n+OK\r\n';

it('reads what comes on a new connection as it is, wherever in a reply the one before was cut', () => {
  // Its last line break is not waited for.
  for (let cut = 0; cut < REPLY.length - 2; cut++) {
    const replies: unknown[] = [];
    const reader = new decoder.default({
      returnStringsAsBuffers: () => false,
      onReply: (reply) => replies.push(reply),
    });
    reader.write(Buffer.from(REPLY.slice(0, cut)));
    reader.reset();
    reader.write(Buffer.from(NEXT));
    expect(replies).toEqual([1, 'next', ['a'], 'OK']);
  }
});
