/** Runs once before all tests: what they need and the repository does not hold. */
export default async function setup(): Promise<void> {}
