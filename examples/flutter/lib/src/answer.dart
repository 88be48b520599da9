/// Somebody in the photo. [box] is x0, y0, x1, y1 in pixels of the upright photo.
class FoundPerson {
  const FoundPerson(this.box, this.score);

  FoundPerson.fromJson(Map<String, dynamic> json)
      : box = [for (final side in json['box'] as List) (side as num).toDouble()],
        score = (json['score'] as num).toDouble();

  final List<double> box;
  final double score;
}

/// A mask that was not made. [message] says what to do, in English.
class RefusedMask {
  const RefusedMask(this.mask, this.code, this.message);

  RefusedMask.fromJson(Map<String, dynamic> json)
      : mask = json['mask'] as String,
        code = json['code'] as String,
        message = json['message'] as String;

  final String mask;
  final String code;
  final String message;
}

/// What came of a photo.
class MaskAnswer {
  MaskAnswer.fromJson(Map<String, dynamic> json)
      : status = json['status'] as String,
        masks = Map<String, String>.from(json['masks'] as Map),
        refused = [
          for (final one in json['refused'] as List)
            RefusedMask.fromJson(one as Map<String, dynamic>),
        ],
        people = [
          for (final one in (json['people'] as List?) ?? const [])
            FoundPerson.fromJson(one as Map<String, dynamic>),
        ],
        width = (json['image']['width'] as num).toInt(),
        height = (json['image']['height'] as num).toInt();

  /// `success`, `partial` or `refused`.
  final String status;

  /// The addresses of the masks that were made, by their kinds.
  final Map<String, String> masks;

  final List<RefusedMask> refused;

  /// Everybody, where somebody has to be chosen; otherwise nobody.
  final List<FoundPerson> people;

  /// The photo's size in pixels, upright.
  final int width;
  final int height;
}

/// What the API says instead of an answer; [code] is one of its codes for errors.
class ApiException implements Exception {
  const ApiException(this.status, this.code, this.message);

  ApiException.fromJson(this.status, Map<String, dynamic> json)
      : code = json['error']?['code'] as String?,
        // API Gateway itself says {"message": "..."}.
        message = (json['error']?['message'] ?? json['message']) as String?;

  /// Of HTTP; null where a job failed.
  final int? status;
  final String? code;
  final String? message;

  @override
  String toString() => 'ApiException: $status $code $message';
}
