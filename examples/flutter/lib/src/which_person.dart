import 'dart:typed_data';

import 'package:flutter/material.dart';

import 'answer.dart';

/// The photo with a frame around everybody: a tap says who is meant.
class WhichPerson extends StatelessWidget {
  const WhichPerson({
    super.key,
    required this.photo,
    required this.answer,
    required this.onChosen,
  });

  final Uint8List photo;

  /// One that has `people`.
  final MaskAnswer answer;

  /// Gets the box to send as `personBox`.
  final ValueChanged<List<double>> onChosen;

  @override
  Widget build(BuildContext context) {
    final width = answer.width.toDouble();
    final height = answer.height.toDouble();
    return FittedBox(
      child: SizedBox(
        width: width,
        height: height,
        child: Stack(
          children: [
            Positioned.fill(child: Image.memory(photo, fit: BoxFit.fill)),
            // The largest first, so that smaller frames lie on top and can be tapped.
            for (final (place, person) in answer.people.indexed)
              Positioned(
                left: person.box[0],
                top: person.box[1],
                width: person.box[2] - person.box[0],
                height: person.box[3] - person.box[1],
                child: Semantics(
                  button: true,
                  label: 'Person ${place + 1}',
                  child: GestureDetector(
                    behavior: HitTestBehavior.opaque,
                    onTap: () => onChosen(person.box),
                    child: DecoratedBox(
                      decoration: BoxDecoration(
                        border: Border.all(color: Colors.red, width: width / 100),
                      ),
                    ),
                  ),
                ),
              ),
          ],
        ),
      ),
    );
  }
}
