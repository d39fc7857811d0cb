import { contract } from '../../test/support/contract.js';

const itself = (status: number) => ({ 'a user': [401, 403, status, status] as const });

export default contract({
  things: {
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
});
