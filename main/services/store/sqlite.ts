/** SQLite, as the product's Node brings it along: the one place that it comes from. */
export { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
