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

new FirestoreServer().start(0).catch((error) => {
  console.error(error);
  process.exit(1);
});
process.stdin.on("end", () => process.exit(0)).resume();
