; Chats and models stay unless the person says otherwise; a silent uninstallation and an update keep them.
!macro customUnInstall
  ${ifNot} ${isUpdated}
    MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "Delete your chats and models as well? This cannot be undone." /SD IDNO IDNO ternKeepData
      SetShellVarContext current
      RMDir /r "$APPDATA\Tern"
    ternKeepData:
  ${endIf}
!macroend
