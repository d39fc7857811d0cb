import { appOf, type Check, type Container, containersOf, type Manifest, ofKind } from './objects.js';
import { environmentOf } from './settings.js';

interface Cluster extends Manifest {
  spec: {
    bootstrap: { initdb?: { owner: string }; recovery?: { owner: string } };
    managed?: {
      roles?: { name: string; login?: boolean; superuser?: boolean; createrole?: boolean; inRoles?: string[] }[];
    };
  };
}

/** The role that serves cannot change the schema: another role migrates, and the app's container does not have its password. */
export const rolesCheck: Check = (objects) => {
  const [migrates, serves] = ['migrate', 'floodgate'].map(
    (called) => containersOf(appOf(objects)).find(({ name }) => name === called) as Container,
  ) as [Container, Container];
  const given = (container: Container) => environmentOf(objects, container).environment;
  const leaked = serves.env?.some(({ name }) => name === 'DATABASE_MIGRATION_URL');
  return [
    ...(leaked ? ['floodgate is told how to migrate'] : []),
    ...ofKind<Cluster>(objects, 'Cluster').flatMap(({ spec: { bootstrap, managed } }) => {
      const owner = (bootstrap.initdb ?? bootstrap.recovery)?.owner;
      const { DATABASE_URL = '', DATABASE_REPLICA_URLS = '' } = given(serves);
      const roles = [DATABASE_URL, ...DATABASE_REPLICA_URLS.split(',')].filter(Boolean).map(roleOf);
      const made = managed?.roles?.find(({ name }) => name === roles[0]);
      const { DATABASE_URL: granted = '', DATABASE_MIGRATION_URL = '' } = given(migrates);
      return [
        ...roles.filter((role) => role === owner || role !== roleOf(granted)).map((role) => `${role} serves`),
        ...(DATABASE_MIGRATION_URL && roleOf(DATABASE_MIGRATION_URL) === owner
          ? []
          : ['who migrates is not the owner']),
        ...(made?.login ? [] : [`${roles[0]} may not log in`]),
        ...(made?.superuser || made?.createrole || made?.inRoles?.length
          ? [`${roles[0]} may be more than itself`]
          : []),
      ];
    }),
  ];
};

const roleOf = (url: string) => new URL(url).username;
