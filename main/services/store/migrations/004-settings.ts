/** What the user has set, each by its name, as JSON. */
export const SETTINGS = `CREATE TABLE settings (name TEXT PRIMARY KEY, value_json TEXT NOT NULL) STRICT, WITHOUT ROWID`
