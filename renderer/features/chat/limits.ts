/** chat.send and chat.edit refuse longer messages. */
export const MAX_MESSAGE_CHARACTERS = 1_000_000
