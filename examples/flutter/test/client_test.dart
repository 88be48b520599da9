import 'dart:convert';
import 'dart:typed_data';

import 'package:flutter_test/flutter_test.dart';
import 'package:http/http.dart' as http;
import 'package:http/testing.dart';
import 'package:tryon_masks/tryon_masks.dart';

const api = 'https://api.example.com';
const bucket = 'https://bucket.example.com/';
final photo = Uint8List.fromList([1, 2, 3]);

Map<String, dynamic> answer({
  Map<String, String> masks = const {},
  List<Map<String, dynamic>>? people,
}) =>
    {
      'status': masks.length == 2 ? 'success' : 'refused',
      'masks': masks,
      'refused': <Map<String, dynamic>>[],
      'image': {'width': 300, 'height': 400},
      if (people != null) 'people': people,
    };

/// An API whose job is done when it is asked for a second time.
MockClient standIn(Map<String, dynamic> last, List<http.Request> calls) {
  var asked = 0;
  return MockClient((request) async {
    calls.add(request);
    if (request.url.toString() == bucket) {
      return http.Response('', 204);
    }
    expect(request.headers['authorization'], 'Bearer token');
    if (request.method == 'POST') {
      final taken = {
        'job': '/v1/jobs/1',
        'upload': {
          'url': bucket,
          'fields': {'key': 'uploads/1'},
        },
      };
      return http.Response(jsonEncode(taken), 201);
    }
    asked += 1;
    final job = asked == 1 ? {'state': 'running', 'answer': null} : last;
    return http.Response(jsonEncode(job), 200, headers: {'retry-after': '0'});
  });
}

void main() {
  test('a photo is uploaded, and its job is waited for', () async {
    final calls = <http.Request>[];
    final masks = {'upper': 'https://a.example/u.png', 'lower': 'https://a.example/l.png'};
    final last = {'state': 'success', 'answer': answer(masks: masks)};
    final client = TryonMasks(api, () async => 'token', client: standIn(last, calls));

    final got = await client.masksOf(photo, personBox: [1, 2, 3, 4]);

    expect(got.masks, masks);
    expect(calls.map((call) => call.method), ['POST', 'POST', 'GET', 'GET']);
    expect(jsonDecode(calls.first.body)['person_box'], [1, 2, 3, 4]);
    expect(maskBlock(got)!['Status'], 'success');
  });

  test('where there are several people they can be chosen from', () async {
    final people = [
      {'box': [1, 2, 3, 4], 'score': 0.9},
      {'box': [5, 6, 7, 8], 'score': 0.8},
    ];
    final last = {'state': 'refused', 'answer': answer(people: people)};
    final client = TryonMasks(api, () async => 'token', client: standIn(last, []));

    final got = await client.masksOf(photo);

    expect(got.people.map((one) => one.box.first), [1, 5]);
    expect(maskBlock(got), isNull);
  });

  test('an error says its code', () async {
    final last = {
      'state': 'error',
      'answer': {
        'error': {'code': 'BROKEN_PHOTO', 'message': 'The photo is damaged.'},
      },
    };
    final client = TryonMasks(api, () async => 'token', client: standIn(last, []));

    await expectLater(
      client.masksOf(photo),
      throwsA(isA<ApiException>().having((error) => error.code, 'code', 'BROKEN_PHOTO')),
    );
  });
}
