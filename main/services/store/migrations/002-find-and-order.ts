/**
 * What can be searched: messages that are not being written, folded (`folded` is a function of ours), in pieces of three
 * characters, so that part of a word is found in any language. And how chats are kept in order.
 */
export const FIND_AND_ORDER = `
ALTER TABLE chats ADD COLUMN is_pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN is_archived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN folder TEXT;
ALTER TABLE chats ADD COLUMN tags_json TEXT NOT NULL DEFAULT '[]';

CREATE VIEW found_text AS SELECT position, folded(content) AS content FROM messages;
CREATE VIRTUAL TABLE message_index USING fts5(
  content, content = 'found_text', content_rowid = 'position', tokenize = 'trigram case_sensitive 1', columnsize = 0
);
INSERT INTO message_index (message_index, rank) VALUES ('secure-delete', 1);
INSERT INTO message_index (rowid, content)
  SELECT position, folded(content) FROM messages WHERE status NOT IN ('pending', 'streaming');

CREATE TRIGGER message_index_added AFTER INSERT ON messages WHEN new.status NOT IN ('pending', 'streaming') BEGIN
  INSERT INTO message_index (rowid, content) VALUES (new.position, folded(new.content));
END;
CREATE TRIGGER message_index_removed BEFORE DELETE ON messages WHEN old.status NOT IN ('pending', 'streaming') BEGIN
  INSERT INTO message_index (message_index, rowid, content) VALUES ('delete', old.position, folded(old.content));
END;
CREATE TRIGGER message_index_changing BEFORE UPDATE OF content, status ON messages
  WHEN old.status NOT IN ('pending', 'streaming') BEGIN
  INSERT INTO message_index (message_index, rowid, content) VALUES ('delete', old.position, folded(old.content));
END;
CREATE TRIGGER message_index_changed AFTER UPDATE OF content, status ON messages
  WHEN new.status NOT IN ('pending', 'streaming') BEGIN
  INSERT INTO message_index (rowid, content) VALUES (new.position, folded(new.content));
END;
`
