/** A spec that is named by its path is run, wherever it lies. */
const isNamed = process.argv.some((argument) => argument.endsWith('.spec.ts'));

/** What `npm test` leaves to test:all, test:long and test:image: what is about time, takes long, or needs more than Redis. */
const LATER = [
  '<rootDir>/test/(?:clients|compose|faults|image|k8s|monitoring|process|timing)/',
  '\\.long\\.spec\\.ts$',
];

export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testRegex: '\\.spec\\.ts$',
  testPathIgnorePatterns: ['/node_modules/', ...(isNamed ? [] : LATER)],
  // The first says nothing of files that pass.
  reporters: [isNamed ? 'default' : 'agent'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
  setupFiles: ['<rootDir>/test/support/load-nest.mjs'],
  maxWorkers: 2,
  // Only what hangs takes so long.
  testTimeout: 60_000,
};
