"""Thunderbird without a window on the screen, in a profile of its own, that does what a person would have it do.

It is driven from inside (tests/support/marionette.py), by the functions that its own windows call.
"""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from tests.support.appliance import wait_for
from tests.support.marionette import Marionette
from tests.support.needs import need

PREFERENCES = """\
user_pref("marionette.port", 0);
user_pref("network.dns.localDomains", "{host}");
user_pref("network.proxy.type", 2);
user_pref("network.proxy.autoconfig_url", "data:text/plain,{proxy}");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mailnews.start_page.enabled", false);
"""
PROXY = """\
function FindProxyForURL(url, host) {{
  if (host == "{host}") return "DIRECT";
  return url.startsWith("http://autoconfig.{domain}/") ? "PROXY 127.0.0.1:{web}" : "PROXY 127.0.0.1:1";
}}
"""
"""Relay's public port stands for port 80 of autoconfig.DOMAIN; nothing else of the world can be reached."""

WORDS = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const load = path => ChromeUtils.importESModule("resource:///modules/" + path);
const accountOf = type => MailServices.accounts.accounts.find(a => a.incomingServer.type == type);
const rootOf = type => accountOf(type).incomingServer.rootFolder;
const folderOf = (name, type = "imap") => rootOf(type).subFolders.find(f => f.name == name);
const messageOf = (folder, subject) => [...folder.messages].find(m => m.mime2DecodedSubject == subject);
const ended = (resolve, reject, status) => status ? reject(new Error("status " + status)) : resolve();
const done = start => new Promise((resolve, reject) => start({
  QueryInterface: ChromeUtils.generateQI(["nsIUrlListener", "nsIMsgCopyServiceListener"]),
  OnStartRunningUrl() {}, OnStopRunningUrl(url, status) { ended(resolve, reject, status); },
  onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
  onStopCopy(status) { ended(resolve, reject, status); },
}));
"""
"""What every script finds: the folders and messages of an account, and how to wait for what has been begun."""

TRUST = """
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
for (const port of ports) {
  overrides.rememberValidityOverride(host, port, {}, database.constructX509FromBase64(certificate), false);
}
"""

SET_UP = """
const { FetchConfig } = load("accountcreation/FetchConfig.sys.mjs");
const { AccountConfig } = load("accountcreation/AccountConfig.sys.mjs");
const { CreateInBackend } = load("accountcreation/CreateInBackend.sys.mjs");
const found = await FetchConfig.fromISP(address.split("@")[1], address, new AbortController().signal);
AccountConfig.replaceVariables(found, "Anna", address, password);
if (type != "imap") {
  found.incoming = found.incomingAlternatives.find(each => each.type == type);
}
found.rememberPassword = true;
await CreateInBackend.createAccountInBackend(found);
const told = each => [each.type, each.hostname, each.port, each.socketType, each.auth, each.username];
return [told(found.incoming), told(found.outgoing)];
"""

READ = """
const { MsgHdrToMimeMessage } = load("gloda/MimeMessage.sys.mjs");
const folder = folderOf(name);
return new Promise(resolve => MsgHdrToMimeMessage(messageOf(folder, subject), null, (header, message) => resolve({
  from: message.get("from"),
  text: message.coerceBodyToPlaintext(folder),
  attachments: message.allUserAttachments.map(each => [each.name, each.contentType, each.size]),
}), true));
"""

SEND = """
const make = (name, kind) => Cc["@mozilla.org/messengercompose/" + name + ";1"].createInstance(kind);
const attachment = make("attachment", Ci.nsIMsgAttachment);
attachment.url = Services.io.newFileURI(await IOUtils.getFile(path)).spec;
attachment.name = PathUtils.filename(path);
const params = make("composeparams", Ci.nsIMsgComposeParams);
params.composeFields = make("composefields", Ci.nsIMsgCompFields);
Object.assign(params.composeFields, { to, subject, body: text });
params.composeFields.addAttachment(attachment);
params.identity = accountOf("imap").defaultIdentity;
params.format = Ci.nsIMsgCompFormat.PlainText;
const ready = new Promise(resolve => Services.obs.addObserver(function opened(win, topic) {
  win.addEventListener("compose-editor-ready", () => resolve(win), { once: true });
  Services.obs.removeObserver(opened, topic);
}, "domwindowopened"));
MailServices.compose.OpenComposeWindowWithParams(null, params);
const win = await ready;
const sent = new Promise((resolve, reject) => win.gMsgCompose.addMsgSendListener({
  QueryInterface: ChromeUtils.generateQI(["nsIMsgSendListener"]),
  onStartSending() {}, onSendProgress() {}, onStatus() {}, onGetDraftFolderURI() {}, onSendNotPerformed() {},
  onTransportSecurityError(id, status) { reject(new Error("TLS " + status)); },
  onStopSending(id, status) { ended(resolve, reject, status); },
}));
win.goDoCommand("cmd_sendNow");
return sent;
"""
"""The window in which a message is written, with its button "Send"."""


class Thunderbird:
    """The program; use as a context manager, which ends it. ``web`` is the number of Relay's public port."""

    def __init__(self, root: Path, *, host: str, domain: str, web: int) -> None:
        need(shutil.which("thunderbird") is not None, "thunderbird is not installed")
        self._host = host
        self._home, self._profile, self._log = root / "home", root / "profile", root / "thunderbird.log"
        self._home.mkdir(parents=True)
        self._profile.mkdir()
        proxy = quote(PROXY.format(host=host, domain=domain, web=web))
        (self._profile / "user.js").write_text(PREFERENCES.format(host=host, proxy=proxy))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it with the profile as it is; returns when it can be told what to do."""
        port = self._profile / "MarionetteActivePort"
        port.unlink(missing_ok=True)
        words = ["thunderbird", "--headless", "--no-remote", "--profile", str(self._profile)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*words, "--marionette", "--remote-allow-system-access"],
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(self._home)},
            )
        try:
            wait_for(lambda: port.exists() and port.read_text(), 60, self._log.read_text)
            self._marionette = Marionette(int(port.read_text()))
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def stop(self) -> None:
        """Ends it."""
        self._marionette.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def do(self, script: str, /, **names: Any) -> Any:
        """What ``script`` returns; it finds WORDS and ``names``."""
        return self._marionette.script(WORDS + script, **names)

    def trust(self, certificate: str, *ports: int) -> None:
        """Makes an exception for a certificate (PEM) that nobody has signed, as a person does who is asked."""
        octets = base64.b64encode(ssl.PEM_cert_to_DER_cert(certificate)).decode()
        self.do(TRUST, host=self._host, ports=list(ports), certificate=octets)

    def messages(self, folder: str, protocol: str = "imap") -> list[list[Any]] | None:
        """Subject, whether it is read, whether it is flagged, for each message that the folder's list shows."""
        listed: list[list[Any]] | None = self.do(
            "const folder = folderOf(name, protocol);\n"
            "return folder && [...folder.messages].map(m => [m.mime2DecodedSubject, m.isRead, m.isFlagged]);",
            name=folder,
            protocol=protocol,
        )
        return listed

    def subjects(self, folder: str, protocol: str = "imap") -> list[str]:
        """The first of ``messages``, in order."""
        return sorted(each[0] for each in self.messages(folder, protocol) or ())

    def open(self, folder: str) -> bool:
        """Begins to open a folder, as a click on it does; whether it is there."""
        opened: bool = self.do(
            "const folder = folderOf(name);\nfolder?.updateFolder(null);\nreturn Boolean(folder);", name=folder
        )
        return opened
