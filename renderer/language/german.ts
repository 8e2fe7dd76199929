/** Every word that the window shows, in German. */
import type { Words } from './english.ts'
import { roundTo2 } from './rounding.ts'

const number = new Intl.NumberFormat('de')
const plural = (n: number, one: string, many: string) => `${number.format(n)} ${n === 1 ? one : many}`
const dayOf = new Intl.DateTimeFormat('de', { day: 'numeric', month: 'short' })
const decimal = new Intl.NumberFormat('de', { minimumFractionDigits: 1, maximumFractionDigits: 1 })

export const german: Words = {
  app: {
    name: 'Tern',
    tagline: 'Ein Sprachmodell, das auf diesem Rechner läuft, ohne Netz.',
    skipToComposer: 'Zum Eingabefeld springen',
  },

  tab: {
    lost: 'Nicht verbunden · ',
    replying: '… ',
  },

  header: {
    newChatTitle: 'Neuer Chat',
    showChats: 'Chats zeigen',
    hideChats: 'Chats verbergen',
    showInstruments: 'Instrumente zeigen',
    hideInstruments: 'Instrumente verbergen',
    theme: { system: 'Farben: wie das System', light: 'Farben: hell', dark: 'Farben: dunkel' },
    shortcuts: 'Tastenkürzel',
    noModel: 'Kein Modell',
    rename: 'Diesen Chat umbenennen',
    titleLabel: 'Titel dieses Chats',
  },

  places: {
    region: 'Orte',
  },

  settings: {
    heading: 'Einstellungen',
    look: {
      heading: 'Aussehen',
      language: 'Sprache',
      languages: { system: 'Wie das System', en: 'English', de: 'Deutsch' },
      languageNote: 'Das Modell spricht Englisch, was immer dieses Fenster spricht.',
      theme: 'Farben',
      themes: { system: 'System', light: 'Hell', dark: 'Dunkel' },
      textSize: 'Schriftgröße',
      textSizeNote: 'Alles wächst mit, auch die Instrumente.',
      reduceMotion: 'Bewegung immer verringern',
      reduceMotionNote: 'Aus: wie das System es will.',
    },
    data: {
      heading: 'Daten',
      folder: 'Ordner',
      folderNote: 'Chats und die Zustände, mit denen sie sofort weitergehen. Nichts davon verlässt diesen Rechner.',
      copyPath: 'Pfad kopieren',
      states: 'Gespeicherte Zustände',
      statesNote:
        'Mit seinem Zustand geht ein Chat sofort weiter, wie lang er auch ist. Darüber hinaus gehen die am längsten ungenutzten zuerst; die angehefteter Chats, des Endes jedes Chats und der Verzweigungen bleiben am längsten. Text wird nie entfernt.',
      statesUse: (count, bytes) => `${plural(count, 'Zustand', 'Zustände')}, ${bytes}`,
      statesBudget: 'Was gespeicherte Zustände höchstens einnehmen',
      noStates: 'Keine',
    },
    files: {
      name: 'Chats als Dateien',
      note: 'Alle Chats in einem Archiv, das wieder eingelesen werden kann. Auch von ChatGPT, Open WebUI, LM Studio und Jan: wählen Sie die Datei, die deren Export gemacht hat.',
      exportAll: 'Alle ausgeben',
      import: 'Einlesen',
      reading: fileName => `${fileName} wird gelesen`,
      taking: 'Die Chats werden übernommen',
      sources: {
        tern: 'Tern',
        chatgpt: 'ChatGPT',
        'open-webui': 'Open WebUI',
        'lm-studio': 'LM Studio',
        jan: 'Jan',
      },
      found: (source, chats, messages) =>
        `Von ${source}: ${plural(chats, 'neuer Chat', 'neue Chats')} mit ${plural(messages, 'Nachricht', 'Nachrichten')}.`,
      taken: (chats, messages) =>
        `${plural(chats, 'Chat', 'Chats')} mit ${plural(messages, 'Nachricht', 'Nachrichten')} übernommen.`,
      known: chats => `${plural(chats, 'Chat ist', 'Chats sind')} schon da und bleiben, wie sie sind.`,
      leftOut: {
        'parts-not-text': count =>
          `Ausgelassen: ${plural(count, 'Teil einer Nachricht, der kein', 'Teile von Nachrichten, die kein')} Text ${count === 1 ? 'ist' : 'sind'}.`,
        'tool-and-system-messages': count =>
          `Ausgelassen: ${plural(count, 'Nachricht', 'Nachrichten')} von Werkzeugen und System.`,
        'damaged-messages': count =>
          `Ausgelassen: ${plural(count, 'beschädigte Nachricht', 'beschädigte Nachrichten')}.`,
        'chats-without-messages': count => `Ausgelassen: ${plural(count, 'Chat', 'Chats')} ohne Nachrichten.`,
        'damaged-chats': count =>
          `Ausgelassen: ${plural(count, 'Chat, der', 'Chats, die')} beschädigt oder aus einer späteren Version ${count === 1 ? 'ist' : 'sind'}.`,
        'chats-twice': count =>
          `${plural(count, 'Chat steht', 'Chats stehen')} mehrfach in dieser Datei und ${count === 1 ? 'wird' : 'werden'} einmal übernommen.`,
      },
      take: chats => `${plural(chats, 'Chat', 'Chats')} übernehmen`,
      cancel: 'Abbrechen',
    },
    about: {
      heading: 'Über Tern',
      what: 'Lässt MatMul-freie Sprachmodelle auf diesem Rechner laufen, ohne Netz. Apache-2.0.',
      privacy: 'Privatsphäre',
      privacyNote: 'Tern öffnet von sich aus keine Verbindung, sendet nichts und zählt nichts.',
    },
  },

  temporary: {
    label: 'Flüchtig',
    choose: 'Flüchtiger Chat',
    hint: 'Nichts davon kommt auf die Platte. Er endet, wenn Tern geschlossen wird.',
    title: 'Flüchtiger Chat',
  },

  storage: {
    inMemory: 'Chats werden diesmal nicht gespeichert und enden, wenn Tern geschlossen wird.',
    notKept: 'Was jetzt geschrieben wird, ist nicht gespeichert.',
    recovered: (chats, messages) =>
      chats === 0
        ? 'Die Datei Ihrer Chats war beschädigt, und nichts darin war lesbar.'
        : `Die Datei Ihrer Chats war beschädigt. ${plural(messages, 'Nachricht', 'Nachrichten')} in ${plural(chats, 'Chat', 'Chats')} wurden gerettet.`,
    damagedFile: path => `Die beschädigte Datei bleibt: ${path}`,
    dismiss: 'Verstanden',
  },

  chats: {
    region: 'Chats',
    newChat: 'Neuer Chat',
    empty: 'Hier stehen Ihre Chats.',
    rest: chats => `Mehr zeigen (${number.format(chats)})`,
    close: 'Schließen',
    loading: 'Chats werden geladen',
    untitled: 'Chat ohne Titel',
    keptInMemory: 'Chats bleiben, bis Tern geschlossen wird.',
    keptOnDisk: 'Chats werden auf diesem Rechner gespeichert.',
    keptIn: path => `Chats werden gespeichert in ${path}`,
    remove: title => `„${title}“ löschen`,
    removed: title => `„${title}“ gelöscht.`,
    removedElsewhere: title => `„${title}“ wurde in einem anderen Fenster gelöscht.`,
    undo: 'Rückgängig',
    dismissRemoved: 'Ausblenden',
    replying: 'Eine Antwort wird geschrieben',
    removeWhenLost: 'Nicht verbunden: jetzt kann nichts gelöscht werden.',
    today: 'Heute',
    earlier: 'Früher',
  },

  conversation: {
    region: 'Unterhaltung',
    you: 'Sie',
    youSaid: 'Sie schrieben',
    replied: 'Tern antwortete',
    jumpToLatest: 'Zum Neuesten',
    opening: 'Der Chat wird geöffnet',
    notFetched: 'Dieser Chat wurde noch nicht geholt. Er öffnet sich, sobald Terns Hintergrundprozess antwortet.',
    gone: 'Tern hat diesen Chat nicht mehr. Dieses Fenster hält seinen Text, bis es geschlossen oder neu geladen wird.',
    messages: 'Nachrichten',
    version: (at, of) => `Fassung ${at} von ${of}`,
    versionBefore: 'Vorige Fassung',
    versionAfter: 'Nächste Fassung',
    waitingForEngine: 'Wartet auf die Engine',
    thinking: 'Liest Ihre Nachricht',
    prefill: (done, total) => `Liest ${number.format(done)} von ${plural(total, 'Token', 'Tokens')}`,
    prefillLabel: 'Die Eingabe wird gelesen',
    timeLeft: duration => `noch etwa ${duration}`,
    deleted: messages => `${plural(messages, 'Nachricht', 'Nachrichten')} gelöscht.`,
    undo: 'Rückgängig',
    showAll: 'Alles zeigen',
    showLess: 'Weniger zeigen',
  },

  question: {
    edit: 'Ändern',
    editHint: 'Mit anderen Worten fragen; was bisher gesagt wurde, bleibt als Fassung',
    editLabel: 'Ihre Nachricht in anderen Worten',
    editNote: 'Die Antwort beginnt hier neu; was bisher gesagt wurde, bleibt als Fassung.',
    copy: 'Kopieren',
    more: 'Mehr',
    deleteFrom: 'Ab hier löschen',
    send: 'Senden',
    cancel: 'Abbrechen',
  },

  reply: {
    copy: 'Kopieren',
    copied: 'Kopiert',
    copyFailed: 'Kopieren ging nicht',
    regenerate: 'Neu schreiben',
    branch: 'Abzweigen',
    branchHint: 'Von hier in einem eigenen Chat weitergehen',
    compare: 'Drei Antworten vergleichen',
    more: 'Mehr',
    saveState: 'Zustand als Datei sichern',
    deleteFrom: 'Ab hier löschen',
    tryAgain: 'Noch einmal',
    continue: 'Fortsetzen',
    stopped: 'Angehalten.',
    interrupted: 'Die Engine endete mitten in der Antwort. Der Text bis hier bleibt.',
    interruptedEmpty: 'Die Engine endete vor dem ersten Wort.',
    maxTokens: 'An der Längengrenze abgeschnitten.',
    empty: 'Das Modell beendete seine Antwort ohne ein Wort.',
    failed: 'Diese Antwort ist fehlgeschlagen.',
    rate: value => `${value} Tokens/s`,
    firstToken: value => `erstes Token ${value}`,
    tokens: n => plural(n, 'Token', 'Tokens'),
    resumed: (tokens, took) => `${plural(tokens, 'Token', 'Tokens')} in ${took} wieder aufgenommen`,
    saved: duration => `etwa ${duration} Lesen gespart`,
    reread: {
      none: 'Der Chat wird einmal neu gelesen: der Zustand dieser Stelle ist nicht mehr gespeichert.',
      'other-model': 'Der Chat wird einmal neu gelesen: die Zustände dieser Stelle gehören zu einem anderen Modell.',
      damaged: 'Der Chat wird einmal neu gelesen: der Zustand dieser Stelle war beschädigt.',
    },
    figures: 'Werte dieser Antwort',
  },

  find: {
    inAll: 'Alle Chats durchsuchen',
    inChat: 'In diesem Chat suchen',
    hint: 'Wörter irgendwo in Titeln und Nachrichten, auch Teile von Wörtern.',
    nothing: 'Nichts gefunden.',
    count: (hits, chats, isCut) =>
      `${isCut ? 'Die ersten ' : ''}${plural(hits, 'Treffer', 'Treffer')} in ${plural(chats, 'Chat', 'Chats')}`,
    inTitles: 'In Titeln',
    inMessages: 'In Nachrichten',
    date: date => dayOf.format(date),
    hit: (at, of, isCut) =>
      of === 0 ? 'Keine Treffer' : `${number.format(at)} von ${number.format(of)}${isCut ? '+' : ''}`,
    previous: 'Voriger Treffer',
    next: 'Nächster Treffer',
    close: 'Suche schließen',
  },

  order: {
    more: title => `Mehr zu „${title}“`,
    pin: 'Anheften',
    unpin: 'Lösen',
    archive: 'Ins Archiv',
    unarchive: 'Aus dem Archiv',
    edit: 'Ordner und Schlagwörter',
    heading: title => `Ordner und Schlagwörter von „${title}“`,
    folder: 'Ordner',
    folderHint: 'Ein neuer Name macht einen neuen Ordner; leer: in keinem.',
    tags: 'Schlagwörter',
    tagsHint: 'Mit Kommas dazwischen.',
    save: 'Speichern',
    cancel: 'Abbrechen',
    exports: {
      markdown: 'Als Markdown sichern',
      html: 'Als Webseite sichern',
      json: 'Mit allen Zweigen sichern (JSON)',
    },
    pinned: 'Angeheftet',
    archived: 'Archiv',
  },

  comparison: {
    heading: replies => (replies === 1 ? 'Eine Antwort' : `Eine Frage, ${number.format(replies)} Antworten`),
    note: 'Von einem Zustand aus: die Frage wurde einmal gelesen. Was Sie nicht behalten, bleibt als Fassung.',
    oneMore: 'Noch eine',
    oneMoreHint: 'Eine weitere Antwort daneben',
    full: most => `Höchstens ${number.format(most)} Antworten`,
    leave: 'Verlassen',
    leaveHint: 'Zurück zur Antwort, die vorher da war',
    reply: letter => `Antwort ${letter}`,
    temperature: value => `Temperatur ${decimal.format(value)}`,
    keep: letter => `${letter} behalten`,
    speed: 'Tempo',
    firstToken: 'Erstes Token',
    length: 'Länge',
    started: 'Antworten werden nebeneinander geschrieben.',
    done: 'Alle Antworten sind geschrieben.',
  },

  branches: {
    heading: 'Karte dieses Chats',
    count: n => plural(n, 'Zweig', 'Zweige'),
    cut: rows => `${number.format(rows)} frühere Stellen sind ausgelassen.`,
    here: opening => `Sie sind hier: ${opening}`,
    noWords: 'Noch ohne Worte',
    folded: messages => `+${number.format(messages)}`,
    goTo: 'Zu dieser Nachricht gehen',
    show: 'Diesen Zweig zeigen',
  },

  stateFiles: {
    open: 'Datei öffnen',
    openHint: 'Ein gesicherter Zustand, um einen Chat damit zu beginnen. Er kann auch auf das Fenster gezogen werden',
    dropHere: 'Zum Öffnen hier ablegen',
    readAgain: 'Text noch einmal lesen',
    readAgainNote: (model, tokens) =>
      `Er stammt von ${model}, aus ${plural(tokens, 'Token', 'Tokens')}. Das geladene Modell kann den Text noch einmal lesen.`,
    dismiss: 'Schließen',
  },

  composer: {
    label: 'Nachricht',
    placeholder: 'Nachricht an Tern',
    send: 'Senden',
    stop: 'Anhalten',
    hint: 'Eingabetaste sendet, mit Umschalttaste beginnt eine neue Zeile',
    busy: 'Eine Antwort wird geschrieben. Ihre Nachricht bleibt hier, bis Sie sie senden.',
    busyHint: 'Esc hält die Antwort an',
    cost: (tokens, duration) =>
      `Etwa ${plural(roundTo2(tokens), 'Token', 'Tokens')}${duration === null ? '' : `, etwa ${duration} zu lesen`}.`,
    beyondTraining: tokens =>
      `Das Modell hat mit Texten von ${plural(tokens, 'Token', 'Tokens')} gelernt: es kann den Faden verlieren.`,
    disclaimer: 'Kleines Modell: prüfen Sie Fakten und Rechnungen.',
    waits: {
      starting: 'Die Engine startet; Nachrichten warten auf sie.',
      loading: 'Das Modell wird geladen; Nachrichten warten darauf.',
      restarting: 'Die Engine startet neu; Nachrichten warten auf sie.',
    },
    disabled: {
      connecting: 'Verbindet.',
      lost: 'Nicht verbunden. Sie können weiterschreiben.',
      failed: 'Kein Modell ist geladen. Siehe die Meldung oben.',
      gone: 'Dieser Chat wird nicht mehr aufbewahrt. Beginnen Sie einen neuen.',
      tooLong: 'Diese Nachricht ist zu lang: die Grenze ist eine Million Zeichen.',
    },
  },

  empty: {
    heading: 'Ein Sprachmodell auf Ihrem eigenen Rechner',
    body: 'MatMul-frei: es addiert und subtrahiert, wo andere Matrizen multiplizieren, und es braucht kein Netz. Nichts, was Sie schreiben, verlässt diesen Rechner.',
    honest: modelName =>
      `${modelName} ist ein sehr kleines Modell und spricht Englisch. Es plaudert, erzählt Geschichten und kennt Alltägliches; prüfen Sie Fakten und Rechnungen.`,
    examplesLabel: 'Beispiele für den Anfang',
    // As the model can answer them.
    examples: [
      'Tell me a bedtime story about a hedgehog.',
      'What can I cook with eggs and rice?',
      'Why do cats purr?',
      'What does MatMul-free mean?',
    ],
  },

  engine: {
    starting: 'Die Engine startet',
    loading: modelName => `${modelName} wird geladen`,
    converting: modelName => `${modelName} wird umgewandelt`,
    loadingHint: 'Das Modell bleibt im Speicher, solange Tern offen ist; Chats beginnen dann sofort.',
    restarting: 'Die Engine endete unerwartet. Sie startet neu; Ihr Chat bleibt.',
    restartingAttempt: attempt => `Versuch ${attempt}`,
    restartingReason: reason => `Was geschah: ${reason}`,
    recovered: 'Die Engine läuft wieder.',
    failedHeading: 'Das Modell konnte nicht gestartet werden',
    failedModel: 'Verlangt war das Modell:',
    useEmbedded: 'Das Modell nehmen, das zu Tern gehört',
    retry: 'Noch einmal',
    retrying: 'Versucht es noch einmal',
    expected: 'Erwartet',
    actual: 'Gefunden',
    remedy: 'Was zu tun ist',
    code: 'Code',
    copyDetails: 'Einzelheiten kopieren',
  },

  connection: {
    lost: 'Terns Hintergrundprozess antwortet nicht. Das Fenster verbindet sich von selbst neu; was es geholt hat, bleibt lesbar.',
    lostLong:
      'Noch immer keine Antwort. Wenn Sie Tern im Terminal beendet haben, starten Sie es neu mit npm start und öffnen Sie die Adresse, die es nennt.',
    retryNow: 'Jetzt verbinden',
    copyChat: 'Diesen Chat kopieren',
  },

  failure: {
    dismiss: 'Ausblenden',
  },

  instruments: {
    region: 'Instrumente',
    model: 'Modell',
    speed: 'Tempo',
    memory: 'Speicher der Engine',
    computed: 'Berechnet:',
    close: 'Schließen',
    parameters: 'Parameter',
    ternary: share => `${share} ternär`,
    file: 'Datei',
    packing: 'Packung',
    backend: 'Backend',
    loadTime: 'Ladezeit',
    tokensPerSecond: 'Tokens/s',
    firstToken: 'Erstes Token',
    prefill: 'Lesen',
    weights: 'Gewichte',
    scratch: 'Arbeitsspeicher',
    place: 'Gewichte und Zustände in',
    gpuMemory: 'Grafikspeicher',
    states: sessions => (sessions === null ? 'Alle Zustände' : `Alle Zustände (${sessions})`),
    state: 'Zustand der Unterhaltung',
    stateFlat: 'Bei jeder Länge gleich.',
    process: 'Prozess der Engine, belegt',
    kvCache: (perToken, atThousand) =>
      `ein Transformer dieser Tiefe und Breite käme auf ${perToken} mehr je Token, ${atThousand} nach 1.000 (Schlüssel und Werte zu 16 Bit, volle Köpfe).`,
    traceLabel: (name, now) => `${name} in den letzten zwei Minuten; jetzt ${now}`,
    traceStart: 'vor 2 min',
    traceEnd: 'jetzt',
  },

  power: {
    heading: 'Leistung',
    watts: 'W',
    gauge: (watts, perToken) => `Leistung ${watts}, letzte Antwort ${perToken}. Instrumente zeigen`,
    of: scope => `${scope}, gemessen`,
    scopes: {
      package: 'Prozessor',
      dram: 'Speichermodule',
      gpu: 'Grafikkarte',
      board: 'Board',
      system: 'Ganzer Rechner',
    },
    qualities: { measured: 'gemessen', estimated: 'geschätzt', bound: 'eine Schranke: zu kurz zum Messen' },
    methods: { counter: 'mit einem Energiezähler', samples: 'aus Proben der Leistung' },
    idle: watts => `Ruhe ${watts}`,
    noSource:
      'Dieser Rechner hat keinen Leistungsmesser, den Tern lesen kann, wie auch virtuelle Maschinen keinen haben.',
    closed: names =>
      `Es gibt einen Messer (${names}), den nur der Administrator lesen darf. Diese Zeile öffnet ihn bis zum Neustart:`,
    copyRemedy: 'Zeile kopieren',
    reply: 'Diese Antwort',
    aboveIdle: 'über Ruhe',
    noIdle: 'die Ruheleistung davor wurde nicht gesehen',
    idleSeen: watts => `Ruhe ${watts}, davor gemessen`,
    chat: 'Dieser Chat',
  },

  shortcuts: {
    heading: 'Tastenkürzel',
    close: 'Schließen',
    send: 'Nachricht senden',
    newLine: 'Neue Zeile',
    stop: 'Antwort anhalten',
    newChat: 'Neuer Chat',
    focusComposer: 'Zum Eingabefeld',
    copyLast: 'Letzte Antwort kopieren',
    searchChats: 'Alle Chats durchsuchen',
    findInChat: 'In diesem Chat suchen',
    previousChat: 'Chat darüber',
    nextChat: 'Chat darunter',
    toggleChats: 'Chats zeigen oder verbergen',
    toggleInstruments: 'Instrumente zeigen oder verbergen',
    overview: 'Diese Übersicht',
  },

  markdown: {
    code: 'Code',
    copyCode: 'Code kopieren',
    image: alt => (alt === '' ? '[Bild ausgelassen]' : `[Bild ausgelassen: ${alt}]`),
    table: 'Tabelle',
    done: 'Erledigt',
    toDo: 'Zu tun',
  },

  crash: {
    heading: 'In diesem Fenster trat ein Fehler auf',
    body: 'Chats hält Terns Hintergrundprozess, außerhalb dieses Fensters. Laden Sie es neu, um weiterzumachen.',
    reload: 'Neu laden',
  },

  announce: {
    replyStarted: 'Tern antwortet.',
    replyDone: tokens => `Antwort fertig, ${plural(tokens, 'Token', 'Tokens')}.`,
    replyStopped: 'Antwort angehalten.',
    replyInterrupted: 'Die Engine endete mitten in der Antwort. Der Text bis hier bleibt.',
    replyFailed: 'Die Antwort ist fehlgeschlagen.',
    ready: modelName => `${modelName} ist bereit.`,
    nothingToCopy: 'Es gibt keine Antwort zum Kopieren.',
  },
}
