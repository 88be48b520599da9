import 'dart:typed_data';

import 'package:cloud_firestore/cloud_firestore.dart';
import 'package:flutter/material.dart';
import 'package:tryon_masks/tryon_masks.dart';

/// One photo of one user: its masks are made when this is shown.
class MasksScreen extends StatefulWidget {
  const MasksScreen({
    super.key,
    required this.api,
    required this.userId,
    required this.photo,
  });

  final TryonMasks api;
  final String userId;
  final Uint8List photo;

  @override
  State<MasksScreen> createState() => _MasksScreenState();
}

class _MasksScreenState extends State<MasksScreen> {
  MaskAnswer? _answer;
  String? _error;

  @override
  void initState() {
    super.initState();
    _make();
  }

  Future<void> _make({List<double>? personBox}) async {
    setState(() {
      _answer = null;
      _error = null;
    });
    try {
      final answer = await widget.api.masksOf(widget.photo, personBox: personBox);
      await saveMaskBlock(FirebaseFirestore.instance, widget.userId, answer);
      if (mounted) {
        setState(() => _answer = answer);
      }
    } on ApiException catch (error) {
      if (mounted) {
        setState(() => _error = error.message ?? 'Something went wrong.');
      }
    }
  }

  @override
  Widget build(BuildContext context) {
    final answer = _answer;
    if (_error != null) {
      return Center(child: Text(_error!));
    }
    if (answer == null) {
      return const Center(child: CircularProgressIndicator());
    }
    if (answer.people.isNotEmpty) {
      return WhichPerson(
        photo: widget.photo,
        answer: answer,
        onChosen: (box) => _make(personBox: box),
      );
    }
    return ListView(
      children: [
        for (final mask in answer.masks.entries)
          ListTile(title: Text(mask.key), subtitle: Image.network(mask.value)),
        for (final one in answer.refused)
          ListTile(title: Text(one.mask), subtitle: Text(one.message)),
      ],
    );
  }
}
