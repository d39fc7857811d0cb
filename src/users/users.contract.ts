import { contract } from '../../test/support/contract.js';

const itself = (status: number) => ({ 'a user': [401, 403, status, status] as const });

const ID = '0198c0de-0000-7000-8000-000000000000';

export default contract({
  subjects: {
    'a user': async ({ newUser }) => {
      const owner = await newUser();
      return { owner, values: { id: owner.userId } };
    },
  },
  operations: {
    listUsers: { nothing: [401, 403, 403, 200] },
    getMe: { nothing: [401, 200, 200, 200] },
    getUser: itself(200),
    updateUser: itself(200),
    deleteUser: itself(204),
  },
  shownElsewhere: { updateUser: [409], deleteUser: [409] },
  bodies: { updateUser: () => ({ name: 'Renamed' }) },
  texts: {
    'sessions.service.ts': [`${ID}.1.${'a'.repeat(43)}`],
    'email.schema.ts': ['ada.l@mail-1.example.com'],
    'fold.ts': ['e\u0301'],
  },
});
