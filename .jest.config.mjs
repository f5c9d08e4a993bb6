export default {
  rootDir: '.',
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/dist/', '<rootDir>/temp/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/temp/'],
  transform: { '^.+\\.ts$': '<rootDir>/test/ts-transform.mjs' },
  collectCoverageFrom: ['src/**/*.ts', '!src/programs/**'],
  coverageProvider: 'babel',
  testTimeout: 60_000,
}
