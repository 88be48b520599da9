// Starts the Firestore emulator on a free port of the loopback interface and prints "host:port".
// Modules come from NODE_PATH. Stops when stdin closes, so it never outlives the test run.
"use strict";

const grpc = require("@grpc/grpc-js");
const { FirestoreServer } = require("@firestore-emulator/server");

// The server asks for every interface; only this one is given to it.
const bindAsync = grpc.Server.prototype.bindAsync;
grpc.Server.prototype.bindAsync = function (_address, credentials, callback) {
  bindAsync.call(this, "127.0.0.1:0", credentials, (error, port) => {
    callback(error, port);
    if (!error) console.log(`127.0.0.1:${port}`);
  });
};

const server = new FirestoreServer();

// Firestore deletes a field that a write's mask names and the write does not hold; this one would
// leave it as it was.
const path = "projects/none/databases/(default)/documents/none/none";
const documents = Object.getPrototypeOf(server.state.getDocument(path));
for (const name of ["update", "set"]) {
  const write = documents[name];
  documents[name] = function (date, fields, mask = []) {
    write.call(this, date, fields, mask);
    const kept = ([key]) => !mask.includes(key) || key in fields;
    this.fields = Object.fromEntries(Object.entries(this.fields).filter(kept));
  };
}

server.start(0).catch((error) => {
  console.error(error);
  process.exit(1);
});
process.stdin.on("end", () => process.exit(0)).resume();
