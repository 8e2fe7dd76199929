/** Chats as trees of messages. `position`: the order in which messages came to a chat, so parents before their children. */
export const CHATS = `
CREATE TABLE chats (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  deleted_at_ms INTEGER,
  active_leaf_id TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  parent_id TEXT,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  finish_reason TEXT,
  stats_json TEXT,
  error_json TEXT,
  notice TEXT
) STRICT;
CREATE INDEX messages_of_chat ON messages (chat_id, position);
`
