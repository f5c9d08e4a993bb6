export default {
  rootDir: '.',
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/dist/', '<rootDir>/temp/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/temp/'],
  transform: { '^.+\\.ts$': '<rootDir>/test/ts-transform.mjs' },
  coveragePathIgnorePatterns: ['/node_modules/', '<rootDir>/test/', '<rootDir>/src/programs/', '<rootDir>/src/.*\\.js$'],
  coverageProvider: 'babel',
  testSequencer: '<rootDir>/test/runner/sequencer.mjs',
  testTimeout: 60_000,
}
