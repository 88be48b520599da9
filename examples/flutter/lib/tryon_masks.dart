/// Masks for virtual try-on: upload a photo, wait for its job, ask who is meant, keep the addresses.
library;

export 'src/answer.dart';
export 'src/client.dart';
export 'src/mask_block.dart';
export 'src/which_person.dart';
