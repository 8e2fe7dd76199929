/** Names shared by the preload, which may import nothing else, and the main process. */
export const CONNECT_CHANNEL = 'tern:connect'
export const PORT_CHANNEL = 'tern:port'
