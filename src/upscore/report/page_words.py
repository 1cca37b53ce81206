"""The words of a page that are not its content, in each language that pages are written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "ko"]

WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "language": "English",
        "sections": "Sections",
        "how": "How it was made",
        "Table": "Table",
        "Figure": "Figure",
        "says": "The source says",
        "here": "Here",
        "found": "What was found",
        "published": "published",
        "settings": "Every setting of",
        "colours": "Colours of the classes",
        "absent": "picture is missing",
        "enlarge": "Enlarge",
        "enlarged": "Picture, enlarged",
        "close": "Close",
        "photo": "photo",
        "truth": "truth",
        "without data": "Photos, true masks and what shows them are left out of its figures.",
        "written": "Written by {program} on {date}.",
        "scores": "What each score means: one confusion matrix over the whole split; a class in "
        "neither truth nor prediction is left out of the mean; void pixels count nowhere.",
        "missing training": "{title} is missing: {error}. The same command tries it again.",
        "missing photo": "{name} counts for nothing: {error}",
        "missing photos": "{num} more photos could not be segmented.",
        "command": "command",
        "data": "data",
        "fingerprint": "fingerprint of the data",
        "classes": "classes",
        "trained": "trained on",
        "measured": "measured on",
        "photos": "{split}, {num} photos",
        "unfair": "not fair",
        "budget": "budget",
        "machine": "machine",
        "versions": "versions",
    },
    "ko": {
        "language": "한국어",
        "sections": "차례",
        "how": "이 페이지를 만든 방법",
        "Table": "표",
        "Figure": "그림",
        "says": "원문의 주장",
        "here": "여기서는",
        "found": "측정 결과",
        "published": "논문 값",
        "settings": "모든 설정:",
        "colours": "클래스 색",
        "absent": "그림이 없음",
        "enlarge": "크게 보기",
        "enlarged": "크게 본 그림",
        "close": "닫기",
        "photo": "사진",
        "truth": "정답",
        "without data": "사진과 정답, 그리고 이를 보여 주는 그림은 뺐다.",
        "written": "{program}, {date}에 작성.",
        "scores": "점수 계산: 모든 사진을 합친 혼동 행렬 하나로 계산한다. 정답에도 예측에도 없는 "
        "클래스는 평균에서 빼고, 레이블이 없는(void) 픽셀은 세지 않는다.",
        "missing training": "{title} 결과가 없다: {error}. 같은 명령을 다시 실행하면 다시 "
        "시도한다.",
        "missing photo": "{name}: 점수 계산에서 제외했다: {error}",
        "missing photos": "그 밖에 사진 {num}장을 분할하지 못했다.",
        "command": "명령",
        "data": "데이터",
        "fingerprint": "데이터 지문",
        "classes": "클래스 수",
        "trained": "학습 데이터",
        "measured": "평가 데이터",
        "photos": "{split}, 사진 {num}장",
        "unfair": "공정하지 않음",
        "budget": "예산",
        "machine": "컴퓨터",
        "versions": "버전",
    },
}
"""Text by its name. What stands in braces is filled in."""


def page_file(language: Language) -> str:
    """The file name of a page: page.html, and page.ko.html beside it."""
    return "page.html" if language == "en" else f"page.{language}.html"
