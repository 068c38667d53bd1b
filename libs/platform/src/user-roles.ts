/** What a token may say about a person, in its claim `roles`. */
export const USER_ROLES = ['reader', 'author', 'compliance', 'dpo', 'operator', 'admin'] as const;
export type UserRole = (typeof USER_ROLES)[number];
