// What helps where scripts run. Every page works without it.
"use strict";

// A summary of errors is where a reader goes on from.
const errors = document.querySelector(".errors");
if (errors) {
  errors.focus();
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
