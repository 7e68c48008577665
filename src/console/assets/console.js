// What helps where scripts run. Every page works without it.
"use strict";

// A summary of errors is where a reader goes on from.
const errors = document.querySelector(".errors");
if (errors) {
  errors.focus();
}

// Passkeys: the browser is asked, and what it answers goes with the form. Nothing else is sent.
const octets = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function askPasskey(form) {
  const field = (name) => form.elements.namedItem(name);
  const challenge = octets(field("challenge").value);
  const timeout = 300000;
  let answer;
  if (form.dataset.passkey === "create") {
    answer = await navigator.credentials.create({
      publicKey: {
        challenge,
        timeout,
        rp: { name: "Wayhome" },
        user: {
          id: octets(field("account").value),
          name: field("person").value,
          displayName: field("person").value,
        },
        pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: field("known").value.split(" ").filter(Boolean)
          .map((id) => ({ type: "public-key", id: octets(id) })),
        authenticatorSelection: { residentKey: "required", userVerification: "required" },
        attestation: "none",
      },
    });
    field("authenticator_data").value = text(answer.response.getAuthenticatorData());
    field("public_key").value = text(answer.response.getPublicKey());
  } else {
    answer = await navigator.credentials.get({
      publicKey: { challenge, timeout, userVerification: "required" },
    });
    field("authenticator_data").value = text(answer.response.authenticatorData);
    field("signature").value = text(answer.response.signature);
    field("account").value = text(answer.response.userHandle || new ArrayBuffer(0));
  }
  field("credential").value = text(answer.rawId);
  field("client_data").value = text(answer.response.clientDataJSON);
}

if (window.PublicKeyCredential) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      // One question at a time.
      event.stopImmediatePropagation();
      if (form.dataset.asking) {
        return;
      }
      form.dataset.asking = "yes";
      const said = form.querySelector(".error");
      said.hidden = true;
      askPasskey(form)
        .then(() => form.submit())
        .catch(() => { said.hidden = false; })
        .finally(() => { delete form.dataset.asking; });
    });
  }
}

// A form that is under way is not sent again; the server would answer the second as the first.
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
  });
}
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form")) {
    delete form.dataset.sent;
  }
});
