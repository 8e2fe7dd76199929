/** The energy of each reply, as JSON with what it is of and how it was had. */
export const ENERGY = `ALTER TABLE messages ADD COLUMN energy_json TEXT`
