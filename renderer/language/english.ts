/** Every word that the window shows, in English: what any other language has to say. Figures are formatted by ui/units.ts. */
import { roundTo2 } from './rounding.ts'
import type { Widened } from './widened.ts'

const number = new Intl.NumberFormat('en')
const dayOf = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' })
const plural = (n: number, one: string, many: string) => `${number.format(n)} ${n === 1 ? one : many}`

export const english = {
  app: {
    name: 'Tern',
    tagline: 'A language model that runs on this computer, offline.',
    skipToComposer: 'Skip to the message box',
  },

  tab: {
    lost: 'Not connected · ',
    replying: '… ',
  },

  header: {
    newChatTitle: 'New chat',
    showChats: 'Show chats',
    hideChats: 'Hide chats',
    showInstruments: 'Show instruments',
    hideInstruments: 'Hide instruments',
    theme: { system: 'Theme: as the system', light: 'Theme: light', dark: 'Theme: dark' },
    shortcuts: 'Keyboard shortcuts',
    noModel: 'No model',
    rename: 'Rename this chat',
    titleLabel: 'Title of this chat',
  },

  places: {
    region: 'Places',
  },

  settings: {
    heading: 'Settings',
    look: {
      heading: 'Look',
      language: 'Language',
      languages: { system: 'As the system', en: 'English', de: 'Deutsch' },
      languageNote: 'The model speaks English, whatever this window speaks.',
      theme: 'Theme',
      themes: { system: 'System', light: 'Light', dark: 'Dark' },
      textSize: 'Text size',
      textSizeNote: 'Everything grows with it, instruments too.',
      reduceMotion: 'Always reduce motion',
      reduceMotionNote: 'Off: as the system asks.',
    },
    data: {
      heading: 'Data',
      folder: 'Folder',
      folderNote: 'Chats, and the states with which they go on at once. Nothing of it leaves this computer.',
      copyPath: 'Copy the path',
      states: 'Stored states',
      statesNote:
        'With its state a chat goes on at once, whatever its length. Above this, the least used go first; those of pinned chats, of each chat’s end and of branches stay longest. Text is never removed.',
      statesUse: (count: number, bytes: string) => `${plural(count, 'state', 'states')}, ${bytes}`,
      statesBudget: 'Most that stored states take',
      noStates: 'None',
    },
    files: {
      name: 'Chats as files',
      note: 'All chats in one archive, which can be taken in again. From ChatGPT, Open WebUI, LM Studio and Jan too: choose the file that their export made.',
      exportAll: 'Export all',
      import: 'Import',
      reading: (fileName: string) => `Reading ${fileName}`,
      taking: 'Taking the chats in',
      sources: {
        tern: 'Tern',
        chatgpt: 'ChatGPT',
        'open-webui': 'Open WebUI',
        'lm-studio': 'LM Studio',
        jan: 'Jan',
      },
      found: (source: string, chats: number, messages: number) =>
        `From ${source}: ${plural(chats, 'new chat', 'new chats')} with ${plural(messages, 'message', 'messages')}.`,
      taken: (chats: number, messages: number) =>
        `${plural(chats, 'chat', 'chats')} with ${plural(messages, 'message', 'messages')} taken in.`,
      known: (chats: number) => `${plural(chats, 'chat is', 'chats are')} here already and stay as they are.`,
      leftOut: {
        'parts-not-text': (count: number) =>
          `Left out: ${plural(count, 'part of a message that is', 'parts of messages that are')} not text.`,
        'tool-and-system-messages': (count: number) =>
          `Left out: ${plural(count, 'message', 'messages')} of tools and systems.`,
        'damaged-messages': (count: number) => `Left out: ${plural(count, 'damaged message', 'damaged messages')}.`,
        'chats-without-messages': (count: number) => `Left out: ${plural(count, 'chat', 'chats')} without messages.`,
        'damaged-chats': (count: number) =>
          `Left out: ${plural(count, 'chat that is', 'chats that are')} damaged or of a later version.`,
        'chats-twice': (count: number) =>
          `${plural(count, 'chat stands', 'chats stand')} more than once in this file and ${count === 1 ? 'is' : 'are'} taken in once.`,
      },
      take: (chats: number) => `Take in ${plural(chats, 'chat', 'chats')}`,
      cancel: 'Cancel',
    },
    about: {
      heading: 'About Tern',
      what: 'Runs MatMul-free language models on this computer, offline. Apache-2.0.',
      privacy: 'Privacy',
      privacyNote: 'Tern opens no connection by itself, sends nothing, and counts nothing.',
    },
  },

  temporary: {
    label: 'Temporary',
    choose: 'Temporary chat',
    hint: 'Nothing of it is written to the disk. It ends when Tern is closed.',
    title: 'Temporary chat',
  },

  storage: {
    inMemory: 'Chats are not saved this time, and end when Tern is closed.',
    notKept: 'What is written now is not saved.',
    recovered: (chats: number, messages: number) =>
      chats === 0
        ? 'The file of your chats was damaged, and nothing in it could be read.'
        : `The file of your chats was damaged. ${messages} ${messages === 1 ? 'message' : 'messages'} in ${chats} ${chats === 1 ? 'chat' : 'chats'} could be saved.`,
    damagedFile: (path: string) => `The damaged file is kept: ${path}`,
    dismiss: 'Understood',
  },

  chats: {
    region: 'Chats',
    newChat: 'New chat',
    empty: 'Your chats appear here.',
    rest: (chats: number) => `Show more (${number.format(chats)})`,
    close: 'Close',
    loading: 'Loading chats',
    untitled: 'Untitled chat',
    keptInMemory: 'Chats are kept until Tern is closed.',
    keptOnDisk: 'Chats are saved on this computer.',
    keptIn: (path: string) => `Chats are saved in ${path}`,
    remove: (title: string) => `Delete “${title}”`,
    removed: (title: string) => `Deleted “${title}”.`,
    removedElsewhere: (title: string) => `“${title}” was deleted in another window.`,
    undo: 'Undo',
    dismissRemoved: 'Dismiss',
    replying: 'A reply is being written',
    removeWhenLost: 'Not connected: nothing can be deleted now.',
    today: 'Today',
    earlier: 'Earlier',
  },

  conversation: {
    region: 'Conversation',
    you: 'You',
    youSaid: 'You said',
    replied: 'Tern replied',
    jumpToLatest: 'Jump to latest',
    opening: 'Opening the chat',
    notFetched: 'This chat has not been fetched yet. It opens when Tern’s background process answers.',
    gone: 'Tern does not have this chat any more. This window holds its text until it is closed or reloaded.',
    messages: 'Messages',
    version: (at: number, of: number) => `Version ${at} of ${of}`,
    versionBefore: 'Version before',
    versionAfter: 'Version after',
    waitingForEngine: 'Waiting for the engine',
    thinking: 'Reading your message',
    prefill: (done: number, total: number) => `Reading ${number.format(done)} of ${plural(total, 'token', 'tokens')}`,
    prefillLabel: 'Reading the prompt',
    timeLeft: (duration: string) => `about ${duration} left`,
    deleted: (messages: number) => `${plural(messages, 'message', 'messages')} deleted.`,
    undo: 'Undo',
    showAll: 'Show all',
    showLess: 'Show less',
  },

  question: {
    edit: 'Edit',
    editHint: 'Ask in other words; what was said so far is kept as a version',
    editLabel: 'Your message in other words',
    editNote: 'The reply starts anew from here; what was said so far is kept as a version.',
    copy: 'Copy',
    more: 'More',
    deleteFrom: 'Delete from here',
    send: 'Send',
    cancel: 'Cancel',
  },

  reply: {
    copy: 'Copy',
    copied: 'Copied',
    copyFailed: 'Could not copy',
    regenerate: 'Regenerate',
    branch: 'Branch',
    branchHint: 'Go on from here in a chat of its own',
    compare: 'Compare three replies',
    more: 'More',
    saveState: 'Save state as a file',
    deleteFrom: 'Delete from here',
    tryAgain: 'Try again',
    continue: 'Continue',
    stopped: 'Stopped.',
    interrupted: 'The engine stopped in mid-reply. The text so far is kept.',
    interruptedEmpty: 'The engine stopped before the first word.',
    maxTokens: 'Cut at the length limit.',
    empty: 'The model ended its reply without a word.',
    failed: 'This reply failed.',
    rate: (value: string) => `${value} tokens/s`,
    firstToken: (value: string) => `first token ${value}`,
    tokens: (n: number) => plural(n, 'token', 'tokens'),
    resumed: (tokens: number, took: string) => `Resumed ${plural(tokens, 'token', 'tokens')} in ${took}`,
    saved: (duration: string) => `saved about ${duration} of reading`,
    reread: {
      none: 'The chat is read again, once: the stored state of this place is not kept any more.',
      'other-model': 'The chat is read again, once: the states of this place are of another model.',
      damaged: 'The chat is read again, once: the stored state of this place was damaged.',
    },
    figures: 'Figures of this reply',
  },

  find: {
    inAll: 'Search all chats',
    inChat: 'Find in this chat',
    hint: 'Words anywhere in titles and messages, parts of words too.',
    nothing: 'Nothing found.',
    count: (hits: number, chats: number, isCut: boolean) =>
      `${isCut ? 'The first ' : ''}${plural(hits, 'hit', 'hits')} in ${plural(chats, 'chat', 'chats')}`,
    inTitles: 'In titles',
    inMessages: 'In messages',
    date: (date: Date) => dayOf.format(date),
    hit: (at: number, of: number, isCut: boolean) =>
      of === 0 ? 'No hits' : `${number.format(at)} of ${number.format(of)}${isCut ? '+' : ''}`,
    previous: 'Hit before',
    next: 'Next hit',
    close: 'Close the search',
  },

  order: {
    more: (title: string) => `More for “${title}”`,
    pin: 'Pin',
    unpin: 'Unpin',
    archive: 'Archive',
    unarchive: 'Out of the archive',
    edit: 'Folder and tags',
    heading: (title: string) => `Folder and tags of “${title}”`,
    folder: 'Folder',
    folderHint: 'A new name makes a new folder; empty: in none.',
    tags: 'Tags',
    tagsHint: 'With commas between them.',
    save: 'Save',
    cancel: 'Cancel',
    exports: { markdown: 'Save as Markdown', html: 'Save as a web page', json: 'Save with all branches (JSON)' },
    pinned: 'Pinned',
    archived: 'Archived',
  },

  comparison: {
    heading: (replies: number) => (replies === 1 ? 'One reply' : `One question, ${number.format(replies)} replies`),
    note: 'From one state: the question was read once. Those you do not keep stay as versions.',
    oneMore: 'One more',
    oneMoreHint: 'Another reply beside these',
    full: (most: number) => `${number.format(most)} replies at most`,
    leave: 'Leave',
    leaveHint: 'Go back to the reply that was there before',
    reply: (letter: string) => `Reply ${letter}`,
    temperature: (value: number) => `temperature ${value.toFixed(1)}`,
    keep: (letter: string) => `Keep ${letter}`,
    speed: 'Speed',
    firstToken: 'First token',
    length: 'Length',
    started: 'Replies are being written side by side.',
    done: 'All replies are written.',
  },

  branches: {
    heading: 'Map of this chat',
    count: (n: number) => plural(n, 'branch', 'branches'),
    cut: (rows: number) => `${number.format(rows)} earlier places are left out.`,
    here: (opening: string) => `You are here: ${opening}`,
    noWords: 'No words yet',
    folded: (messages: number) => `+${number.format(messages)}`,
    goTo: 'Go to this message',
    show: 'Show this branch',
  },

  stateFiles: {
    open: 'Open a file',
    openHint: 'A saved state, to begin a chat from it. It can be dropped on the window as well',
    dropHere: 'Drop it to open it',
    readAgain: 'Read its text again',
    readAgainNote: (model: string, tokens: number) =>
      `It was made by ${model}, from ${plural(tokens, 'token', 'tokens')}. The loaded model can read the text again.`,
    dismiss: 'Dismiss',
  },

  composer: {
    label: 'Message',
    placeholder: 'Message Tern',
    send: 'Send',
    stop: 'Stop',
    hint: 'Enter sends, Shift+Enter starts a new line',
    /** Enter was pressed, and nothing can be sent. */
    busy: 'A reply is being written. Your message stays here until you send it.',
    busyHint: 'Esc stops the reply',
    cost: (tokens: number, duration: string | null) =>
      `About ${plural(roundTo2(tokens), 'token', 'tokens')}${duration === null ? '' : `, about ${duration} to read`}.`,
    beyondTraining: (tokens: number) =>
      `The model was trained on texts of ${plural(tokens, 'token', 'tokens')}: it may lose the thread.`,
    disclaimer: 'Small model: check its facts and sums.',
    /** Sending works, the reply comes later. */
    waits: {
      starting: 'The engine is starting; messages wait for it.',
      loading: 'The model is loading; messages wait for it.',
      restarting: 'The engine is restarting; messages wait for it.',
    },
    disabled: {
      connecting: 'Connecting.',
      lost: 'Not connected. You can go on writing.',
      failed: 'No model is loaded. See the message above.',
      gone: 'This chat is not kept any more. Start a new one to go on.',
      tooLong: 'This message is too long to send: the limit is one million characters.',
    },
  },

  empty: {
    heading: 'A language model on your own computer',
    body: 'MatMul-free: it adds and subtracts where others multiply matrices, and it works offline. Nothing you type leaves this machine.',
    honest: (modelName: string) =>
      `${modelName} is a very small model. It chats, tells stories and knows everyday things; check its facts and sums.`,
    examplesLabel: 'Examples to start from',
    examples: [
      'Tell me a bedtime story about a hedgehog.',
      'What can I cook with eggs and rice?',
      'Why do cats purr?',
      'What does MatMul-free mean?',
    ],
  },

  engine: {
    starting: 'Starting the engine',
    loading: (modelName: string) => `Loading ${modelName}`,
    converting: (modelName: string) => `Converting ${modelName}`,
    loadingHint: 'The model stays in memory while Tern is open; chats then start at once.',
    restarting: 'The engine stopped unexpectedly. Restarting; your chat is kept.',
    restartingAttempt: (attempt: number) => `attempt ${attempt}`,
    restartingReason: (reason: string) => `What happened: ${reason}`,
    recovered: 'The engine is running again.',
    failedHeading: 'The model could not be started',
    failedModel: 'The model asked for:',
    useEmbedded: 'Use the model that comes with Tern',
    retry: 'Try again',
    retrying: 'Trying again',
    expected: 'Expected',
    actual: 'Found',
    remedy: 'What to do',
    code: 'Code',
    copyDetails: 'Copy details',
  },

  connection: {
    lost: 'Tern’s background process does not answer. Reconnecting by itself; what this window has fetched stays readable.',
    lostLong:
      'Still no answer. If you closed Tern in the terminal, start it again with npm start and open the address it prints.',
    retryNow: 'Reconnect now',
    copyChat: 'Copy this chat',
  },

  failure: {
    dismiss: 'Dismiss',
  },

  instruments: {
    region: 'Instruments',
    model: 'Model',
    speed: 'Speed',
    memory: 'Engine memory',
    computed: 'Computed:',
    close: 'Close',
    parameters: 'Parameters',
    ternary: (share: string) => `${share} ternary`,
    file: 'File',
    packing: 'Packing',
    backend: 'Backend',
    loadTime: 'Load time',
    tokensPerSecond: 'tokens/s',
    firstToken: 'First token',
    prefill: 'Prefill',
    weights: 'Weights',
    scratch: 'Scratch',
    place: 'Weights and states in',
    gpuMemory: 'GPU memory',
    states: (sessions: number | null) => (sessions === null ? 'All states' : `All states (${sessions})`),
    state: 'Conversation state',
    stateFlat: 'The same at any length.',
    process: 'Engine process, resident',
    kvCache: (perToken: string, atThousand: string) =>
      `a transformer of this depth and width would add ${perToken} for every token, ${atThousand} after 1,000 (keys and values of 16 bits, full heads).`,
    traceLabel: (name: string, now: string) => `${name} over the last two minutes; now ${now}`,
    traceStart: '2 min ago',
    traceEnd: 'now',
  },

  power: {
    heading: 'Power',
    watts: 'W',
    gauge: (watts: string, perToken: string) => `Power ${watts}, last reply ${perToken}. Show the instruments`,
    of: (scope: string) => `${scope}, measured`,
    scopes: {
      package: 'Processor package',
      dram: 'Memory modules',
      gpu: 'Graphics card',
      board: 'Board',
      system: 'Whole machine',
    },
    qualities: { measured: 'measured', estimated: 'estimated', bound: 'a bound: too short to measure' },
    methods: { counter: 'by an energy counter', samples: 'by samples of the power' },
    idle: (watts: string) => `idle ${watts}`,
    noSource: 'This machine has no power meter that Tern can read, as virtual machines have none.',
    closed: (names: string) =>
      `There is a meter (${names}), and only the root user may read it. This line opens it until the next restart:`,
    copyRemedy: 'Copy the line',
    reply: 'This reply',
    aboveIdle: 'above idle',
    noIdle: 'the idle draw was not seen before it',
    idleSeen: (watts: string) => `idle ${watts}, measured before it`,
    chat: 'This chat',
  },

  shortcuts: {
    heading: 'Keyboard shortcuts',
    close: 'Close',
    send: 'Send the message',
    newLine: 'New line',
    stop: 'Stop the reply',
    newChat: 'New chat',
    focusComposer: 'Go to the message box',
    copyLast: 'Copy the last reply',
    searchChats: 'Search all chats',
    findInChat: 'Find in this chat',
    previousChat: 'Chat above',
    nextChat: 'Chat below',
    toggleChats: 'Show or hide chats',
    toggleInstruments: 'Show or hide instruments',
    overview: 'This overview',
  },

  markdown: {
    code: 'Code',
    copyCode: 'Copy code',
    image: (alt: string) => (alt === '' ? '[image left out]' : `[image left out: ${alt}]`),
    table: 'Table',
    done: 'Done',
    toDo: 'To do',
  },

  crash: {
    heading: 'This window ran into an error',
    body: 'Chats are kept by Tern’s background process, outside this window. Reload it to go on.',
    reload: 'Reload',
  },

  announce: {
    replyStarted: 'Tern is replying.',
    replyDone: (tokens: number) => `Reply complete, ${plural(tokens, 'token', 'tokens')}.`,
    replyStopped: 'Reply stopped.',
    replyInterrupted: 'The engine stopped in mid-reply. The text so far is kept.',
    replyFailed: 'The reply failed.',
    ready: (modelName: string) => `${modelName} is ready.`,
    nothingToCopy: 'There is no reply to copy.',
  },
} as const

/** The same words in whatever language. */
export type Words = Widened<typeof english>
