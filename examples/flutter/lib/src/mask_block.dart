import 'package:cloud_firestore/cloud_firestore.dart';

import 'answer.dart';

/// The `Mask` block of a user's document; null where neither mask was made.
Map<String, dynamic>? maskBlock(MaskAnswer answer) {
  final upper = answer.masks['upper'];
  final lower = answer.masks['lower'];
  if (upper == null && lower == null) {
    return null;
  }
  return {
    'Status': upper != null && lower != null ? 'success' : 'partial',
    'Upper mask URL': upper,
    'Lower mask URL': lower,
  };
}

/// Put the block into `users/{userId}`, and leave the document's other fields as they are.
///
/// A stack with `FirestoreProject` does so by itself: then the app only reads.
Future<void> saveMaskBlock(
  FirebaseFirestore firestore,
  String userId,
  MaskAnswer answer,
) async {
  final block = maskBlock(answer);
  if (block == null) {
    return;
  }
  await firestore
      .collection('users')
      .doc(userId)
      .set({'Mask': block}, SetOptions(mergeFields: ['Mask']));
}
